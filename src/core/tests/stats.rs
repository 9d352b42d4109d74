//! Media statistics reports.

use super::sim::*;
use crate::core::{model::*, *};

fn reporting() -> Sim {
    let mut sim = Sim::new(config());
    sim.on(|o| match o {
        Output::Admit { generation, .. } => {
            let admission = Admission { stats_interval_ms: 8_000, ..admission(1) };
            Reply::With(Input::Admitted { generation: *generation, result: Ok(Box::new(admission)) })
        }
        _ => Reply::Good,
    });
    sim.input(Input::Start);
    sim.run(ms(10));
    sim.mark();
    sim
}

fn committed(sim: &Sim) -> Vec<u64> {
    let mark = |o: &Output| if let Output::CommitStats { mark } = o { Some(*mark) } else { None };
    sim.since().iter().filter_map(mark).collect()
}

#[test]
fn often_at_first_then_at_the_servers_interval_never_without_one() {
    let mut sim = reporting();
    sim.good();
    sim.run(ms(1_500 + 3_000 + 3_000 + 5_000 + 2 * 8_000));
    assert_eq!(sim.rpc_names(), ["SendStats"; 6]);
    assert_eq!(committed(&sim), [1, 2, 3, 4, 5, 6]);
    let mut silent = Sim::joined();
    silent.run(ms(60_000));
    assert_eq!(silent.rpc_names(), [""; 0]);
}

#[test]
fn h33_stats_are_committed_on_acknowledgement_only() {
    let mut sim = reporting();
    let mut refusals = 2;
    sim.on(move |o| {
        if refusals > 0 && is_rpc(o, "SendStats") {
            refusals -= 1;
            let failure = Failure { should_retry: true, ..sfu(500, "not now") };
            return rpc_failed(o, failure);
        }
        Reply::Good
    });
    sim.run(ms(4_600));
    assert_eq!((sim.rpc_names().len(), committed(&sim).len()), (2, 0), "each once, neither accepted");
    sim.run(ms(3_000));
    assert_eq!((committed(&sim), sim.errors()), (vec![3], 0));
    // A reply of the previous connection is ignored.
    sim.on(|o| if is_rpc(o, "SendStats") { Reply::Hold } else { Reply::Good });
    sim.run(ms(5_000));
    sim.mark();
    sim.lose_socket();
    sim.run(ms(50));
    sim.release();
    assert_eq!(committed(&sim), [0; 0]);
}

#[test]
fn a_report_that_hangs_is_not_followed_by_a_queue() {
    let mut sim = reporting();
    sim.on(|o| if is_rpc(o, "SendStats") { Reply::Never } else { Reply::Good });
    sim.run(ms(60_000));
    assert_eq!(sim.rpc_names(), ["SendStats"]);
    sim.leave();
    assert_eq!(sim.count(|o| matches!(o, Output::FlushStats { .. })), 1);
}

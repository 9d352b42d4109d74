//! The models: what may go on at once, and what must hold whatever the order.
//!
//! At most five threads, the main one included: that is all the checker can hold. What runs inside a
//! callback notes what it saw; it is looked at outside, since the dispatcher contains panics.

mod dispatcher;
mod latch;
mod registry;

use crate::{sync::Time, Model};

pub fn all() -> Vec<Model> {
    let stands = |name, preemptions, run| Model { name, preemptions, time: Time::Stands, run };
    let runs = |name, preemptions, run| Model { name, preemptions, time: Time::Runs, run };
    vec![
        stands("registry: two free, one looks", 6, registry::two_free_one_looks),
        stands("registry: a slot is used again while an old id is used", 6, registry::used_again),
        stands("registry: all() while objects come and go", 6, registry::all_meanwhile),
        stands("latch: marked while two wait", 6, latch::marked_while_two_wait),
        runs("latch: marked while a wait times out", 6, latch::marked_while_time_runs_out),
        stands("dispatcher: close_and_wait against post", 5, dispatcher::close_against_post),
        stands("dispatcher: two close at once", 4, dispatcher::two_close),
        stands("dispatcher: close, waiting and not", 4, dispatcher::close_both_ways),
        stands("dispatcher: a turn ends between two items", 3, dispatcher::turns),
        stands("dispatcher: close without waiting against the last item", 5, dispatcher::close_against_last),
        stands("dispatcher: freed inside the callback", 5, dispatcher::freed_inside),
        stands("dispatcher: two callbacks free each other's mailbox", 2, dispatcher::free_each_other),
        stands("dispatcher: the last clone is dropped", 5, dispatcher::last_clone_dropped),
        stands("dispatcher: a callback panics while another thread closes", 5, dispatcher::panic_against_close),
        stands("dispatcher: quiesce", 3, dispatcher::quiesce),
        stands("dispatcher: pull against post and close", 6, dispatcher::pull),
        runs("dispatcher: pull with a timeout", 6, dispatcher::pull_with_timeout),
        stands("pool: shutdown against post", 4, dispatcher::shutdown_against_post),
        runs("pool: a blocked callback is relieved by the monitor", 2, dispatcher::relieved),
    ]
}

//! Periodic work: audio levels, layer changes, expiry of lost sessions, slow migrations.

use crate::{join::MIGRATION, media::levels::Level, server::Server};
use offhook_proto::{
    event::{self, sfu_event::EventPayload},
    models::TrackType,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

const INTERVAL: Duration = Duration::from_millis(200);
/// Smaller level changes are not reported.
const LEVEL_STEP: f32 = 0.01;

/// Runs until the server stops.
pub async fn run(server: Arc<Server>) {
    let mut interval = tokio::time::interval(INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            () = server.stopped() => return,
        }
        let now = Instant::now();
        levels(&server, now);
        expire(&server, now);
    }
}

fn levels(server: &Server, now: Instant) {
    let mut world = server.world.lock();
    for room in world.rooms.values_mut() {
        let mut all = Vec::with_capacity(room.participants.len());
        let mut changed = Vec::new();
        for participant in &mut room.participants {
            let mut level = Level::default();
            for track in &participant.tracks {
                if track.kind == TrackType::Audio {
                    let measured = track.route.meter().take(now);
                    if track.is_live() {
                        level = measured;
                    }
                }
                track.route.retarget(now);
            }
            let before = participant.level;
            if (before.level - level.level).abs() >= LEVEL_STEP || before.is_speaking != level.is_speaking {
                participant.level = level;
                changed.push(event::AudioLevel {
                    user_id: participant.user_id.clone(),
                    session_id: participant.session_id.clone(),
                    level: level.level,
                    is_speaking: level.is_speaking,
                });
            }
            all.push((participant.session_id.clone(), level));
        }
        let dominant = room.dominant.update(&all);
        if !changed.is_empty() {
            let levels = event::AudioLevelChanged { audio_levels: changed };
            room.broadcast(server, None, EventPayload::AudioLevelChanged(levels));
        }
        if let Some(session_id) = dominant {
            for participant in &mut room.participants {
                participant.dominant = participant.session_id == session_id;
            }
            let user = room.participants.iter().find(|p| p.session_id == session_id);
            let user_id = user.map(|p| p.user_id.clone()).unwrap_or_default();
            let changed = event::DominantSpeakerChanged { user_id, session_id };
            room.broadcast(server, None, EventPayload::DominantSpeakerChanged(changed));
        }
    }
}

fn expire(server: &Arc<Server>, now: Instant) {
    let mut world = server.world.lock();
    let mut lost = Vec::new();
    let mut migrated = Vec::new();
    for participant in world.rooms.values().flat_map(|r| &r.participants) {
        for leg in &participant.legs {
            if leg.detached.is_some_and(|at| now.duration_since(at) >= server.config.keep) {
                lost.push((participant.session_id.clone(), leg.id));
            }
            if leg.migrating.is_some_and(|at| now.duration_since(at) >= MIGRATION) {
                migrated.push((participant.session_id.clone(), leg.id));
            }
        }
        // Its SFU was killed and it has not rejoined.
        if participant.legs.is_empty()
            && participant.without_leg_since.is_some_and(|at| now.duration_since(at) >= server.config.keep)
        {
            lost.push((participant.session_id.clone(), 0));
        }
    }
    for (session, leg) in lost {
        if leg == 0 {
            world.remove(server, &session, "SFU killed, not rejoined", true);
        } else {
            server.drop_leg(&mut world, &session, leg, "lost");
        }
    }
    world.rooms.retain(|_, r| !r.participants.is_empty());
    drop(world);
    for (session, leg) in migrated {
        server.migrated(&session, leg);
    }
}

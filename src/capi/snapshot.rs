//! `oh_call_get_participants`: who is in a call now, with their tracks.

use super::{
    call::oh_call,
    convert::give,
    event_view::{participant, track_info, Kept},
    objects::{find, CallObject},
    people::*,
    result::{guard, oh_result},
    track::handle_of,
};
use crate::core::model::{RemoteTrack, Unplayable};
use crate::session::{Present, PresentTrack};
use parking_lot::Mutex;
use std::collections::HashMap;

/// Snapshots that the application has not freed, by address.
static OUT: Mutex<Option<HashMap<usize, Kept>>> = Mutex::new(None);

/// Gets all participants of a call with their tracks: the local one first, the others by session id. It is at least as new
/// as any event that was delivered, and complete also when events were dropped. Before the join it has the local
/// participant alone, after the end nobody.
///
/// @param participants  receives a snapshot, which does not change; free it with oh_participants_free.
/// @return              OH_OK; OH_ERR_HANDLE; OH_ERR_ARGUMENT.
///
/// Any thread, callbacks included.
///
/// # Safety
/// `participants` must be NULL or writable.
#[no_mangle]
pub unsafe extern "C" fn oh_call_get_participants(
    call: oh_call,
    participants: *mut *const oh_participants,
) -> oh_result {
    guard(|| {
        let object = find::<CallObject>(call.id)?;
        let session = object.call()?.clone();
        // SAFETY: by the caller's contract.
        unsafe {
            give(participants, "participants", || {
                let mut kept = Kept::default();
                let all: Vec<_> = session
                    .participants()
                    .iter()
                    .map(|present| {
                        let one = one(present, &object, &mut kept);
                        kept.value(one)
                    })
                    .collect();
                let participant_count = all.len();
                let participants = kept.pointers(all);
                let snapshot =
                    kept.value(oh_participants { size: size_of::<oh_participants>(), participants, participant_count });
                OUT.lock().get_or_insert_default().insert(snapshot as usize, kept);
                Ok(snapshot)
            })
        }
    })
}

fn one(present: &Present, call: &CallObject, k: &mut Kept) -> oh_participant {
    let mut one = participant(&present.participant, false, k);
    let (user_id, session_id) = (&present.participant.user_id, &present.participant.session_id);
    let local = present.participant.local;
    let tracks: Vec<_> = present
        .tracks
        .iter()
        .map(|track| {
            let info = info(user_id, session_id, track, local, call, k);
            k.value(info)
        })
        .collect();
    one.track_count = tracks.len();
    one.tracks = k.pointers(tracks);
    one
}

fn info(user: &str, session: &str, t: &PresentTrack, local: bool, call: &CallObject, k: &mut Kept) -> oh_track_info {
    let track = RemoteTrack {
        id: t.id.clone(),
        kind: t.kind,
        name: t.name.clone(),
        muted: t.muted,
        encrypted: t.encrypted,
        local,
        held: false,
    };
    let mut info = track_info(user, session, &track, oh_unpublish_cause::OH_UNPUBLISH_UNKNOWN, k);
    info.received = t.received.into();
    info.unplayable = t.unplayable.map_or(0, |reason: Unplayable| reason as i32);
    if let Some(local) = &t.local {
        info.track = handle_of(call, local.track);
        info.published = local.published.into();
        info.moderated = local.moderated.into();
    }
    info
}

/// Frees a snapshot of oh_call_get_participants.
///
/// @param participants  NULL, or not a snapshot: nothing happens.
///
/// Any thread, before or after the call was freed.
#[no_mangle]
pub extern "C" fn oh_participants_free(participants: *const oh_participants) {
    guard(|| {
        let kept = OUT.lock().as_mut().and_then(|out| out.remove(&(participants as usize)));
        // Not under the lock.
        drop(kept);
        Ok(())
    });
}

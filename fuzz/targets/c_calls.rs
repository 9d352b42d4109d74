//! Arbitrary sequences of C API calls, with invalid, stale, forged or mistyped handles and with sizes and texts of any
//! kind. The only address that is contacted is a port of this machine without a server.

use super::Reader;
use offhook::capi::*;
use std::ffi::{c_char, c_void, CString};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

static CALLBACKS: AtomicU64 = AtomicU64::new(0);

unsafe extern "C" fn on_event(_: *mut c_void, call: oh_call, event: *const oh_event) {
    CALLBACKS.fetch_add(1, Relaxed);
    // SAFETY: the event lives until we return.
    if unsafe { (*event).kind } % 3 == 0 {
        let mut state = 0;
        // SAFETY: `state` is writable.
        unsafe { oh_call_get_state(call, &mut state) };
    }
}

unsafe extern "C" fn on_audio(_: *mut c_void, _: oh_call, _: *const oh_audio_frame) {}

unsafe extern "C" fn destroy(_: *mut c_void) {
    CALLBACKS.fetch_add(1, Relaxed);
}

/// Memory for structures, so that reads up to their claimed size stay inside it.
#[repr(align(16))]
struct Room([u8; 16 * 1024]);

struct Session {
    handles: Vec<u64>,
    clients: Vec<u64>,
    texts: Vec<CString>,
    room: Box<Room>,
}

impl Session {
    fn handle(&self, input: &mut Reader<'_>) -> u64 {
        match input.u8() & 7 {
            0 => 0,
            1 => u64::from(input.u32()) << 32 | u64::from(input.u32()),
            // Another kind of handle for the same slot.
            2 => self.known(input) ^ (u64::from(input.u8() & 15) << 60),
            _ => self.known(input),
        }
    }

    fn known(&self, input: &mut Reader<'_>) -> u64 {
        let at = input.below(self.handles.len() + 1);
        self.handles.get(at).copied().unwrap_or(0)
    }

    fn text(&self, input: &mut Reader<'_>) -> *const c_char {
        let at = input.below(self.texts.len() + 1);
        self.texts.get(at).map_or(std::ptr::null(), |text| text.as_ptr())
    }

    /// A structure whose size is right, nearly right or wrong, in memory that is large enough for it.
    fn options<T: Copy>(&mut self, value: T, input: &mut Reader<'_>) -> *const T {
        let right = size_of::<T>();
        let size = match input.u8() & 7 {
            0 => input.u32() as usize,
            1 => right + usize::from(input.u8()),
            2 => right.saturating_sub(usize::from(input.u8())),
            _ => right,
        };
        let fill = if input.u8() & 7 == 0 { input.u8() } else { 0 };
        self.room.0.fill(fill);
        let place = self.room.0.as_mut_ptr().cast::<T>();
        // SAFETY: the room is larger than any structure and aligned; the first member is the size.
        unsafe {
            place.write(value);
            place.cast::<usize>().write(size);
        }
        if input.u8() & 31 == 31 {
            std::ptr::null()
        } else {
            place
        }
    }
}

fn step(s: &mut Session, input: &mut Reader<'_>) {
    let h = s.handle(input);
    let (mut n, mut u, mut id) = (0i32, 0u32, 0u64);
    let pcm = [0i16; 960];
    // SAFETY: pointers are NULL or to what is there; see `options` for structures.
    unsafe {
        match input.u8() % 32 {
            0 | 1 if s.clients.len() < 8 => {
                let mut which: oh_client_options = std::mem::zeroed();
                (which.url, which.user_id, which.token) = (s.text(input), s.text(input), s.text(input));
                let mut client = oh_client { id: 0 };
                let which = s.options(which, input);
                if oh_client_new(which, &mut client) == oh_result::OH_OK {
                    s.clients.push(client.id);
                    s.handles.push(client.id);
                }
            }
            2 | 3 if s.handles.len() < 64 => {
                let mut what: oh_call_options = std::mem::zeroed();
                let mut handlers: oh_call_handlers = std::mem::zeroed();
                (what.call_id, what.call_type, what.data_json) = (s.text(input), s.text(input), s.text(input));
                what.join_retries = [0, 1, 11, OH_ZERO][usize::from(input.u8() & 3)];
                (what.audio_sample_rate_hz, what.audio_channels) =
                    (u32::from(input.u8()) << 9, u32::from(input.u8() & 3));
                (what.audio_format, what.max_queued_events) = (i32::from(input.u8() & 3), u32::from(input.u8() & 31));
                if input.u8() & 1 == 0 {
                    handlers.size =
                        size_of::<oh_call_handlers>() + usize::from(input.u8() & 1) - usize::from(input.u8() & 1);
                    handlers.on_event = Some(on_event);
                    handlers.on_audio = Some(on_audio);
                    handlers.destroy = Some(destroy);
                    what.handlers = &handlers;
                }
                let what = s.options(what, input);
                let mut call = oh_call { id: 0 };
                if oh_call_join(oh_client { id: h }, what, &mut call) == oh_result::OH_OK {
                    s.handles.push(call.id);
                }
            }
            4 => drop(oh_call_wait_state(oh_call { id: h }, i32::from(input.u8()) - 4, u32::from(input.u8() & 1))),
            5 => drop(oh_call_get_state(oh_call { id: h }, &mut n)),
            6 => drop(oh_call_get_state(oh_call { id: h }, std::ptr::null_mut())),
            7 => drop(oh_call_provide_token(oh_call { id: h }, s.text(input))),
            8 => drop(oh_call_leave(oh_call { id: h }, s.text(input))),
            9 => oh_call_free(oh_call { id: h }),
            10 => {
                let mut event = std::ptr::null();
                if oh_call_wait_event(oh_call { id: h }, u32::from(input.u8() & 1), &mut event) == oh_result::OH_OK {
                    oh_event_free(event);
                    oh_event_free(event);
                }
            }
            11 => oh_event_free(usize::from(input.u16()) as *const oh_event),
            12 => drop(oh_call_get_wake_fd(oh_call { id: h }, &mut n)),
            13 => {
                let mut publisher = oh_publisher { id: 0 };
                if oh_call_get_publisher(oh_call { id: h }, &mut publisher) == oh_result::OH_OK && s.handles.len() < 64
                {
                    s.handles.push(publisher.id);
                }
            }
            14 => {
                let mut subscriber = oh_subscriber { id: 0 };
                if oh_call_get_subscriber(oh_call { id: h }, &mut subscriber) == oh_result::OH_OK
                    && s.handles.len() < 64
                {
                    s.handles.push(subscriber.id);
                }
            }
            15 => drop(oh_publisher_close(oh_publisher { id: h })),
            16 => oh_publisher_free(oh_publisher { id: h }),
            17 => drop(oh_subscriber_close(oh_subscriber { id: h })),
            18 => oh_subscriber_free(oh_subscriber { id: h }),
            19 => {
                let mut audio: oh_audio_track_options = std::mem::zeroed();
                (audio.sample_rate_hz, audio.channels) = (u32::from(input.u8()) << 9, u32::from(input.u8() & 3));
                audio.format = i32::from(input.u8() & 3);
                let audio = s.options(audio, input);
                let mut track = oh_track { id: 0 };
                if oh_call_publish_audio(oh_call { id: h }, audio, &mut track) == oh_result::OH_OK
                    && s.handles.len() < 64
                {
                    s.handles.push(track.id);
                }
            }
            20 => drop(oh_track_write_s16(oh_track { id: h }, pcm.as_ptr(), usize::from(input.u8()) * 2)),
            21 => drop(oh_track_write_s16(oh_track { id: h }, std::ptr::null(), input.u32() as usize)),
            22 => drop(oh_track_write_opus(oh_track { id: h }, pcm.as_ptr().cast(), usize::from(input.u16() & 1023))),
            23 => drop(oh_track_wait_writable(oh_track { id: h }, input.u32() as usize, u32::from(input.u8() & 1))),
            24 if input.u8() & 1 == 1 => {
                let (mut sent, mut dropped) = (0u64, 0u64);
                let _ = oh_track_wait_drained(oh_track { id: h }, u32::from(input.u8() & 1));
                let _ = oh_track_clear(oh_track { id: h }, &mut sent, &mut dropped);
            }
            24 => drop(oh_track_get_buffered_ms(oh_track { id: h }, &mut u)),
            25 => drop(oh_track_set_muted(oh_track { id: h }, u32::from(input.u8() & 1))),
            26 => oh_track_free(oh_track { id: h }),
            27 => oh_client_free(oh_client { id: h }),
            28 => {
                let stats: oh_call_stats = std::mem::zeroed();
                let place = s.options(stats, input).cast_mut();
                oh_call_get_stats(oh_call { id: h }, place);
            }
            29 => {
                let mut text = [0 as c_char; 64];
                oh_get_last_error(text.as_mut_ptr(), usize::from(input.u8() & 63));
                oh_get_last_error(std::ptr::null_mut(), 0);
            }
            30 => {
                let code = oh_result_get_name(n.wrapping_add(i32::from(input.u8()) - 128));
                assert!(!code.is_null());
                oh_network_report(i32::from(input.u8() & 7) - 2);
                let _ = (oh_event_kind_get_name(input.u32() as i32), oh_call_state_get_name(input.u32() as i32));
            }
            _ => id = h,
        }
    }
    let _ = id;
}

pub fn c_calls(data: &[u8]) {
    let long = vec![b'x'; 70_000];
    let texts: [&[u8]; 10] = [
        b"http://127.0.0.1:1",
        b"user",
        b"token",
        b"",
        b"\xff\xfe",
        b"ftp://nobody",
        b"http://10.0.0.1",
        b"{}",
        b"{\"a\":[1]}",
        &long,
    ];
    let mut session = Session {
        handles: Vec::new(),
        clients: Vec::new(),
        texts: texts.iter().map(|text| CString::new(*text).unwrap_or_default()).collect(),
        room: Box::new(Room([0; 16 * 1024])),
    };
    let mut input = Reader(data);
    for _ in 0..200 {
        if input.is_empty() {
            break;
        }
        step(&mut session, &mut input);
    }
    for client in session.clients {
        oh_client_free(oh_client { id: client });
    }
    for handle in session.handles {
        let mut state = 0;
        // SAFETY: `state` is writable.
        let result = unsafe { oh_call_get_state(oh_call { id: handle }, &mut state) };
        assert!(result == oh_result::OH_ERR_HANDLE, "a handle outlives its client");
    }
}

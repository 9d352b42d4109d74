/*
 * offhook.h - SFU calls for any language: join, publish, subscribe, media in and out, leave.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * This header is the manual. It is generated from the sources of the library; do not edit it.
 *
 * A CALL IN FIVE STEPS
 *   oh_client_new()          how to reach the service, and as whom
 *   oh_call_join()           handlers hear what happens and who speaks
 *   oh_call_publish_audio()  a track; oh_track_write_s16() feeds it
 *   oh_call_leave()          ends with OH_EVENT_ENDED
 *   oh_client_free()         frees what is left, in any order
 *
 * HANDLES
 *   oh_client, oh_call, oh_publisher, oh_subscriber and oh_track are structures of one 64-bit number.
 *   0 is "none". A number is never used twice: a handle that is stale (freed), forged or of another
 *   kind gives OH_ERR_HANDLE, from any thread, for ever. It never crashes. Copies are the same handle.
 *   Freeing none or a stale handle does nothing. A client owns its calls; a call owns its publisher,
 *   subscriber and tracks: freeing the owner frees them.
 *
 * THREADS
 *   Every function may be called from every thread, unless it says otherwise, inside callbacks too.
 *   The callbacks of one call (events, sound, destroy) run one at a time, in order, on threads of the
 *   library that do no I/O, with no lock held. Different calls run at the same time. A callback that
 *   blocks delays its own call only. Never let a C++ exception or a longjmp leave a callback.
 *   Functions do not block, except oh_*_free and oh_subscriber_close, which wait for a callback in
 *   progress on another thread, and those named _wait (and oh_call_next_event), which take a timeout.
 *   A wait that would wait for itself, also around the corners of other calls' callbacks, gives
 *   OH_ERR_WOULD_DEADLOCK instead; a _free, which has no result, takes effect later then.
 *
 * OWNERSHIP
 *   What you pass in is copied before the function returns. What a callback is given is valid until it
 *   returns. What oh_call_next_event gives is yours until oh_event_free. Static texts say so.
 *   user_data is yours; the matching destroy is called exactly once, after the last callback that used
 *   it (of a call: after OH_EVENT_ENDED was handed over, or in oh_call_free, whichever is first).
 *
 * ERRORS
 *   Functions return oh_result: OH_OK (0) or a negative number. Outputs are the last parameters and are
 *   written on success only. oh_last_error() gives the details of the last failure on this thread.
 *   What goes wrong later comes as an event. No text ever holds a token, a password or media.
 *
 * STRUCTURES
 *   Options begin with their size: use the _INIT macros, or the _init functions where macros are not at
 *   hand, then set what you need. Zero means "default" for every number, unless it says otherwise.
 *   Structures only grow at their end. A library takes smaller ones, of an older header, with the defaults for
 *   the rest; a larger one in which something is set that it does not know is OH_ERR_ABI. The _init
 *   functions fill in the structure as the library knows it, which may be longer than in your header: give
 *   them room to spare and set size afterwards, or use the macros.
 *
 * THE PROCESS
 *   Threads start with the first call and none is made per call. oh_shutdown_wait() ends them; exit
 *   without it is fine as well. After fork() the child gets OH_ERR_FORKED from everything. SIGPIPE is
 *   never raised by the library, and signal handlers of the host do not run on its threads.
 *   Queues and messages are bounded. When the system has no memory left, the process is aborted.
 *   Each call has a share of the I/O threads. A call whose server sends more than that share can carry
 *   is read more slowly, and its packets are lost; other calls keep their share.
 *
 * LOST CONNECTIONS
 *   A call whose connection is lost looks for it by itself: a new socket for the same session, or a new
 *   session, or another edge of the SFU while the old one still plays. State events tell; at the end comes
 *   OH_EVENT_RECONNECTED, or OH_EVENT_ENDED with the reason after disconnect_timeout_ms. Handles stay
 *   valid all the time, tracks are published again in their order, muted ones muted. What is written to a
 *   track meanwhile is discarded. oh_network_changed() tells what the library cannot see.
 *
 * LATE THINGS
 *   An offer, a candidate, a reply or an event that comes after its call has left, or its subscriber was
 *   closed, or from an attempt that was superseded, is dropped: no error, no effect on this or any other
 *   call; oh_call_get_stats() counts it.
 */

#ifndef OFFHOOK_H
#define OFFHOOK_H


#include <stddef.h>
#include <stdint.h>

/** Version of the binary interface, the same number as in the SONAME: it changes when a program that was
 *  built against an older header would no longer work. Compare with oh_abi_version(). */
#define OH_ABI_VERSION 0

/** As a timeout: as long as it takes. */
#define OH_FOREVER UINT32_MAX

/** As oh_call_options.drain_ms: what was accepted and not sent yet is given up at once. */
#define OH_NO_DRAIN UINT32_MAX


/**
 * What a function says of itself: 0 is success, everything else a stable negative number that is
 * never reused. `oh_result_message` gives its general meaning, `oh_last_error` the details of the
 * last failure on the calling thread.
 */
enum oh_result
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * Success.
     */
    OH_OK = 0,
    /**
     * An argument is NULL, out of its range, not UTF-8, or does not fit the others.
     */
    OH_ERR_ARGUMENT = -1,
    /**
     * The handle is none, stale (freed), forged or of another kind. Nothing happened.
     */
    OH_ERR_HANDLE = -2,
    /**
     * Not possible in the state the object is in (for instance: the call is over).
     */
    OH_ERR_STATE = -3,
    /**
     * The object was closed by the application.
     */
    OH_ERR_CLOSED = -4,
    /**
     * A bounded queue is full; nothing was taken. Try again later.
     */
    OH_ERR_FULL = -5,
    /**
     * A deadline passed.
     */
    OH_ERR_TIMEOUT = -6,
    /**
     * Waiting here would wait for itself: a `_wait` inside a callback of the same call.
     */
    OH_ERR_WOULD_DEADLOCK = -7,
    /**
     * Not offered by this build, protocol or call.
     */
    OH_ERR_UNSUPPORTED = -8,
    /**
     * A server could not be reached, or the connection was lost.
     */
    OH_ERR_NETWORK = -9,
    /**
     * TLS failed: certificate, name or version.
     */
    OH_ERR_TLS = -10,
    /**
     * The server refused; its own code and words are in the event or in `oh_last_error`.
     */
    OH_ERR_REFUSED = -11,
    /**
     * A server answered with something that cannot be understood.
     */
    OH_ERR_PROTOCOL = -12,
    /**
     * The token is missing, expired or not accepted.
     */
    OH_ERR_AUTH = -13,
    /**
     * The application left, freed or shut down while this was going on.
     */
    OH_ERR_CANCELLED = -14,
    /**
     * A limit of the system (descriptors, threads, memory) or of the configuration was reached.
     */
    OH_ERR_LIMIT = -15,
    /**
     * Plain http or ws to an address that is not loopback, or a server that another one must not name; see
     * oh_client_options.allow_insecure and allow_other_hosts.
     */
    OH_ERR_INSECURE = -16,
    /**
     * This process was forked from one that uses the library; only exec may follow.
     */
    OH_ERR_FORKED = -17,
    /**
     * A codec or the WebRTC engine failed.
     */
    OH_ERR_MEDIA = -18,
    /**
     * A defect of the library, contained to one object. Please report it.
     */
    OH_ERR_INTERNAL = -19,
    /**
     * The `size` of a structure is not one that this library knows: header and library differ.
     */
    OH_ERR_ABI = -20,
    /**
     * There is nothing to return right now.
     */
    OH_ERR_EMPTY = -21,
    /**
     * The buffer given is too small.
     */
    OH_ERR_BUFFER = -22,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum oh_result oh_result;
#else
typedef int32_t oh_result;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Where a call is.
 */
enum oh_state
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * Not begun: the moment between oh_call_join and the first attempt.
     */
    OH_STATE_IDLE = 0,
    /**
     * Getting in: admission, socket, peer connections.
     */
    OH_STATE_JOINING = 1,
    /**
     * In the call: media can flow.
     */
    OH_STATE_JOINED = 2,
    /**
     * The connection was lost and is looked for.
     */
    OH_STATE_RECONNECTING = 3,
    /**
     * The SFU hands this participant over to another edge; the old one plays until then.
     */
    OH_STATE_MIGRATING = 4,
    /**
     * The machine has no network: the call waits for it.
     */
    OH_STATE_OFFLINE = 5,
    /**
     * The connection was not found again; OH_STATE_LEFT follows at once.
     */
    OH_STATE_RECONNECTING_FAILED = 6,
    /**
     * Over; nothing follows but OH_EVENT_ENDED.
     */
    OH_STATE_LEFT = 7,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum oh_state oh_state;
#else
typedef int32_t oh_state;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Why a call ended.
 */
enum oh_end_reason
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * The application left or freed the call.
     */
    OH_END_LEFT = 0,
    /**
     * The call was ended for everybody.
     */
    OH_END_CALL_ENDED = 1,
    /**
     * The livestream or session in it ended.
     */
    OH_END_SESSION_ENDED = 2,
    /**
     * This participant was removed.
     */
    OH_END_KICKED = 3,
    /**
     * The join did not succeed; error, server_code and text tell why.
     */
    OH_END_JOIN_FAILED = 4,
    /**
     * The connection was lost.
     */
    OH_END_CONNECTION_LOST = 5,
    /**
     * The SFU told this client to disconnect.
     */
    OH_END_DISCONNECTED = 6,
    /**
     * oh_shutdown_wait.
     */
    OH_END_SHUTDOWN = 7,
    /**
     * A defect of the library, contained to this call.
     */
    OH_END_INTERNAL = 8,
    /**
     * More than ten reconnects within two minutes: the connection does not last.
     */
    OH_END_RECONNECT_LIMIT = 9,
    /**
     * Offers of the SFU could not be answered, in three sessions one after the other.
     */
    OH_END_NEGOTIATION_FAILED = 10,
    /**
     * Peer connections never come up on this network; `reason` says what was tried and what was found: candidates
     * and pairs by type, TURN servers that gave no relay, whether anything came back.
     */
    OH_END_NETWORK_UNSUPPORTED = 11,
    /**
     * This participant is not let in again: the token has expired, the call is gone, or it is refused.
     */
    OH_END_RECONNECT_REFUSED = 12,
    /**
     * Somebody else has joined as this participant.
     */
    OH_END_REPLACED = 13,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum oh_end_reason oh_end_reason;
#else
typedef int32_t oh_end_reason;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * What an event is about; tells which member of the union holds. More may be added: ignore
 * what you do not know.
 */
enum oh_event_kind
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * `state`: the call is in another state.
     */
    OH_EVENT_STATE = 1,
    /**
     * `joined`: the SFU has let this participant in; peer connections are being made. Media of a direction flows
     * once OH_EVENT_MEDIA says that it is connected.
     */
    OH_EVENT_JOINED = 2,
    /**
     * No member: a token is needed; answer with oh_call_provide_token within 30 s.
     */
    OH_EVENT_TOKEN_NEEDED = 3,
    /**
     * `participant`: a participant joined. On join sent once for everybody already present. Where one identity is in
     * a call once (OH_PROTOCOL_LIVEKIT), OH_EVENT_PARTICIPANT_LEFT of the session that is replaced comes before.
     */
    OH_EVENT_PARTICIPANT_JOINED = 4,
    /**
     * `participant`: something about a participant changed. With `local`: about the local participant, sent once
     * after each join (what the token says of it) and whenever the server changes it.
     */
    OH_EVENT_PARTICIPANT_UPDATED = 5,
    /**
     * `participant`: a participant left; `reason` says why. Also for those who left while the connection was lost.
     * Their tracks ended before (OH_EVENT_TRACK_UNPUBLISHED), and procedure calls to them have failed.
     */
    OH_EVENT_PARTICIPANT_LEFT = 6,
    /**
     * `track`: a participant published a track, once, muted or not; and again each time it is unmuted. With
     * `local`: a moderator unmuted a local track. Packets are sent only after this event was delivered: when the
     * callback has returned, or the pulled event was freed.
     */
    OH_EVENT_TRACK_PUBLISHED = 7,
    /**
     * `track`: a participant's track ended, or was muted (`muted` non-zero, cause 1): then it is still there, and its
     * end is sent as well. With `local`: a moderator muted a local track.
     * What had come of the track was handed over before this event; nothing of it is after it, until the track is
     * published again.
     */
    OH_EVENT_TRACK_UNPUBLISHED = 8,
    /**
     * `level`: how loud a participant is now.
     */
    OH_EVENT_AUDIO_LEVEL = 9,
    /**
     * `level`: who speaks most; only the names hold.
     */
    OH_EVENT_DOMINANT_SPEAKER = 10,
    /**
     * `quality`: how well a participant is connected.
     */
    OH_EVENT_CONNECTION_QUALITY = 11,
    /**
     * `counts`: how many are in the call, by the SFU's count.
     */
    OH_EVENT_COUNTS = 12,
    /**
     * `grants`: what the local participant may do, on join and whenever it changes. Functions whose right is missing
     * return OH_ERR_REFUSED from then on.
     */
    OH_EVENT_GRANTS = 13,
    /**
     * `pins`: the pinned participants.
     */
    OH_EVENT_PINS = 14,
    /**
     * `local`: a track of mine is on the air.
     */
    OH_EVENT_LOCAL_PUBLISHED = 15,
    /**
     * `local`: a track of mine could not be published, or not any more; error tells why.
     */
    OH_EVENT_LOCAL_FAILED = 16,
    /**
     * `error`: something failed that does not end the call.
     */
    OH_EVENT_ERROR = 17,
    /**
     * `lost`: events were dropped here because the application was too slow to take them; or packets or texts of
     * participants, which wait for the application without being dropped, are missing: a connection ended before
     * they were taken, or a text never became whole.
     */
    OH_EVENT_LOST = 18,
    /**
     * `audio`: sound of a participant; in pull mode only (else see oh_audio_handler).
     */
    OH_EVENT_AUDIO = 19,
    /**
     * `ended`: the call is over. The one terminal event, the last of all.
     */
    OH_EVENT_ENDED = 20,
    /**
     * `reconnected`: the connection was lost and is back; state JOINED came just before.
     */
    OH_EVENT_RECONNECTED = 21,
    /**
     * `custom`: somebody, or the application's server, told everyone who watches the call; only with
     * oh_client_options.events. May come before OH_EVENT_JOINED. One's own come back, too.
     */
    OH_EVENT_CUSTOM = 22,
    /**
     * `room`: the room, at the join and when it has changed (OH_CAP_ROOM).
     */
    OH_EVENT_ROOM = 23,
    /**
     * `data`: a packet of another participant, or of the application's server (OH_CAP_DATA).
     */
    OH_EVENT_DATA = 24,
    /**
     * `text`: a text of another participant, put together (OH_CAP_TEXT).
     */
    OH_EVENT_TEXT = 25,
    /**
     * `rpc`: another participant calls a procedure; answer with oh_call_rpc_answer (OH_CAP_RPC).
     */
    OH_EVENT_RPC_REQUEST = 26,
    /**
     * `rpc`: what became of an oh_call_rpc; exactly one for each, before OH_EVENT_ENDED at the latest.
     */
    OH_EVENT_RPC_RESPONSE = 27,
    /**
     * `subscribable`: a track cannot be had any more, or again (OH_CAP_SUBSCRIPTIONS).
     */
    OH_EVENT_SUBSCRIBABLE = 28,
    /**
     * `media`: media of one direction is connected, or was lost; once for each change. Sending is connected when
     * something is published (a track, or data), receiving when the SFU has something to send, or at the join. A
     * direction that the application closes is not reported as lost, and the end of the call is OH_EVENT_ENDED.
     */
    OH_EVENT_MEDIA = 29,
    /**
     * `unsent`: the call has ended before everything that was accepted could be sent; comes before
     * OH_EVENT_ENDED, at most once.
     */
    OH_EVENT_UNSENT = 30,
    /**
     * `unplayable`: media or data of a participant arrives that cannot be decoded; once for each track (of data:
     * participant) and reason.
     */
    OH_EVENT_UNPLAYABLE = 31,
    /**
     * `text_part`: a piece of a text that is still arriving; only with oh_call_options.partial_texts. The whole
     * text follows as OH_EVENT_TEXT, or OH_EVENT_LOST counts it.
     */
    OH_EVENT_TEXT_PART = 32,
    /**
     * `dtmf`: a participant (of SIP) pressed a key of the telephone.
     */
    OH_EVENT_DTMF = 33,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum oh_event_kind oh_event_kind;
#else
typedef int32_t oh_event_kind;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Form of sound.
 */
enum oh_audio_format
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * Interleaved 16-bit integers in the machine's byte order.
     */
    OH_AUDIO_S16 = 0,
    /**
     * Interleaved 32-bit floats, -1.0 to 1.0.
     */
    OH_AUDIO_F32 = 1,
    /**
     * Opus packets (RFC 6716), 48 kHz clock.
     */
    OH_AUDIO_OPUS = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum oh_audio_format oh_audio_format;
#else
typedef int32_t oh_audio_format;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * What a track carries.
 */
enum oh_track_kind
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * Sound of a microphone.
     */
    OH_TRACK_AUDIO = 1,
    /**
     * Video of a camera.
     */
    OH_TRACK_VIDEO = 2,
    /**
     * A screen.
     */
    OH_TRACK_SCREEN_SHARE = 3,
    /**
     * The sound of what is on a screen.
     */
    OH_TRACK_SCREEN_SHARE_AUDIO = 4,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum oh_track_kind oh_track_kind;
#else
typedef int32_t oh_track_kind;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Levels of log lines, most important first.
 */
enum oh_log_level
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * Nothing.
     */
    OH_LOG_OFF = 0,
    /**
     * A defect of the library, contained to one object.
     */
    OH_LOG_ERROR = 1,
    /**
     * What failed in a call, as OH_EVENT_ERROR and OH_EVENT_LOCAL_FAILED tell it.
     */
    OH_LOG_WARN = 2,
    /**
     * Calls change their state and end; the network changes.
     */
    OH_LOG_INFO = 3,
    /**
     * How it happens, and what was dropped because it came late.
     */
    OH_LOG_DEBUG = 4,
    /**
     * Every message.
     */
    OH_LOG_TRACE = 5,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum oh_log_level oh_log_level;
#else
typedef int32_t oh_log_level;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * How a lost connection was found again.
 */
enum oh_reconnect
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * A new socket for the same session; sound went on meanwhile.
     */
    OH_RECONNECT_FAST = 2,
    /**
     * A new session; what was published is published again.
     */
    OH_RECONNECT_REJOIN = 3,
    /**
     * Another edge of the SFU, the old one played until it took over.
     */
    OH_RECONNECT_MIGRATE = 4,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum oh_reconnect oh_reconnect;
#else
typedef int32_t oh_reconnect;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * What happened to the machine's network.
 */
enum oh_network
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * There is none: calls stop trying and wait, in OH_STATE_OFFLINE.
     */
    OH_NETWORK_OFFLINE = 0,
    /**
     * It is back: calls that wait reconnect at once. Ignored by calls that do not wait.
     */
    OH_NETWORK_ONLINE = 1,
    /**
     * It is another one (other addresses): calls reconnect with new sockets.
     */
    OH_NETWORK_CHANGED = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum oh_network oh_network;
#else
typedef int32_t oh_network;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * The protocol of an SFU.
 */
enum oh_protocol
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * Stream Video's, which the development SFU speaks as well.
     */
    OH_PROTOCOL_STREAM = 0,
    /**
     * LiveKit's, of the open server and its cluster. Tokens are made by the application's server, or with
     * oh_access_token.
     */
    OH_PROTOCOL_LIVEKIT = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum oh_protocol oh_protocol;
#else
typedef int32_t oh_protocol;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * What only some protocols have; bits of oh_call_capabilities. A function that needs one which the
 * call's protocol lacks gives OH_ERR_UNSUPPORTED and says so in oh_last_error.
 */
enum oh_capability
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * oh_call_send_custom, OH_EVENT_CUSTOM.
     */
    OH_CAP_CUSTOM_EVENTS = 1,
    /**
     * oh_call_options: ring, notify, data_json, no_create; else they are ignored.
     */
    OH_CAP_RING = 2,
    /**
     * OH_EVENT_PINS.
     */
    OH_CAP_PINS = 4,
    /**
     * OH_EVENT_DOMINANT_SPEAKER.
     */
    OH_CAP_DOMINANT_SPEAKER = 8,
    /**
     * OH_STATE_MIGRATING: an SFU hands its participants over while media flows.
     */
    OH_CAP_MIGRATE = 16,
    /**
     * oh_call_send_data, OH_EVENT_DATA.
     */
    OH_CAP_DATA = 32,
    /**
     * oh_call_send_text, OH_EVENT_TEXT.
     */
    OH_CAP_TEXT = 64,
    /**
     * oh_call_rpc, OH_EVENT_RPC_REQUEST.
     */
    OH_CAP_RPC = 128,
    /**
     * oh_call_set_attributes, and the metadata and attributes of participants.
     */
    OH_CAP_ATTRIBUTES = 256,
    /**
     * OH_EVENT_ROOM.
     */
    OH_CAP_ROOM = 512,
    /**
     * oh_subscriber_set_track, oh_call_options.no_auto_subscribe, OH_EVENT_SUBSCRIBABLE.
     */
    OH_CAP_SUBSCRIPTIONS = 1024,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum oh_capability oh_capability;
#else
typedef uint32_t oh_capability;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * A layer of simulcast video.
 */
enum oh_layer
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * As good as the network allows.
     */
    OH_LAYER_HIGH = 0,
    /**
     * The one in the middle.
     */
    OH_LAYER_MEDIUM = 1,
    /**
     * The smallest.
     */
    OH_LAYER_LOW = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum oh_layer oh_layer;
#else
typedef int32_t oh_layer;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Why a procedure call failed, as far as clients themselves find out; applications add codes of their own
 * from 1 to 999 and from 2000 on.
 */
enum oh_rpc_error
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * The other participant has no such procedure.
     */
    OH_RPC_UNSUPPORTED_METHOD = 1400,
    /**
     * No participant of this name is in the call, and nobody confirmed the request within 2 s.
     */
    OH_RPC_RECIPIENT_NOT_FOUND = 1401,
    /**
     * The payload is too long for the other side.
     */
    OH_RPC_REQUEST_TOO_LARGE = 1402,
    /**
     * The other side speaks another version of procedure calls.
     */
    OH_RPC_UNSUPPORTED_VERSION = 1404,
    /**
     * The procedure failed.
     */
    OH_RPC_APPLICATION = 1500,
    /**
     * The other participant did not confirm the request within 7 s: it is not here, or does not hear.
     */
    OH_RPC_CONNECTION_TIMEOUT = 1501,
    /**
     * It has the request, and did not answer in time.
     */
    OH_RPC_RESPONSE_TIMEOUT = 1502,
    /**
     * It left.
     */
    OH_RPC_RECIPIENT_DISCONNECTED = 1503,
    /**
     * Its answer was too long.
     */
    OH_RPC_RESPONSE_TOO_LARGE = 1504,
    /**
     * The request was not sent: the call has ended, or too many are under way.
     */
    OH_RPC_SEND_FAILED = 1505,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum oh_rpc_error oh_rpc_error;
#else
typedef uint32_t oh_rpc_error;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * What kind of participant it is.
 */
enum oh_participant_kind
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * A person with a client, or a program that joined as one.
     */
    OH_PARTICIPANT_STANDARD = 0,
    /**
     * A stream that is fed into the call (RTMP, WHIP).
     */
    OH_PARTICIPANT_INGRESS = 1,
    /**
     * A stream or recording that is made of the call.
     */
    OH_PARTICIPANT_EGRESS = 2,
    /**
     * A telephone.
     */
    OH_PARTICIPANT_SIP = 3,
    /**
     * A program that acts by itself.
     */
    OH_PARTICIPANT_AGENT = 4,
    /**
     * Records the call.
     */
    OH_PARTICIPANT_RECORDER = 5,
    /**
     * Of a kind that this version does not know.
     */
    OH_PARTICIPANT_OTHER = 6,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum oh_participant_kind oh_participant_kind;
#else
typedef int32_t oh_participant_kind;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Why a participant left.
 */
enum oh_leave_reason
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * Not said by the server.
     */
    OH_LEAVE_UNKNOWN = 0,
    /**
     * By its own decision.
     */
    OH_LEAVE_CLIENT = 1,
    /**
     * Another client joined as the same participant.
     */
    OH_LEAVE_REPLACED = 2,
    /**
     * Its server shut down.
     */
    OH_LEAVE_SERVER_SHUTDOWN = 3,
    /**
     * It was removed.
     */
    OH_LEAVE_REMOVED = 4,
    /**
     * The room was deleted.
     */
    OH_LEAVE_ROOM_DELETED = 5,
    /**
     * Server and client did not agree about its session.
     */
    OH_LEAVE_STATE_MISMATCH = 6,
    /**
     * It did not get in.
     */
    OH_LEAVE_JOIN_FAILURE = 7,
    /**
     * It went on to another server.
     */
    OH_LEAVE_MIGRATION = 8,
    /**
     * Its signalling connection was lost.
     */
    OH_LEAVE_SIGNAL_CLOSE = 9,
    /**
     * The room was closed.
     */
    OH_LEAVE_ROOM_CLOSED = 10,
    /**
     * SIP: the callee did not answer.
     */
    OH_LEAVE_USER_UNAVAILABLE = 11,
    /**
     * SIP: the callee declined.
     */
    OH_LEAVE_USER_REJECTED = 12,
    /**
     * SIP: the trunk failed.
     */
    OH_LEAVE_SIP_TRUNK_FAILURE = 13,
    /**
     * Its connection timed out.
     */
    OH_LEAVE_CONNECTION_TIMEOUT = 14,
    /**
     * Its media failed.
     */
    OH_LEAVE_MEDIA_FAILURE = 15,
    /**
     * The agent failed.
     */
    OH_LEAVE_AGENT_ERROR = 16,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum oh_leave_reason oh_leave_reason;
#else
typedef int32_t oh_leave_reason;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Rights of a participant; bits of oh_event_participant.rights.
 */
enum oh_right
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * May publish audio of a microphone.
     */
    OH_RIGHT_AUDIO = 1,
    /**
     * May publish video of a camera.
     */
    OH_RIGHT_VIDEO = 2,
    /**
     * May publish the screen and its audio.
     */
    OH_RIGHT_SCREEN_SHARE = 4,
    /**
     * May send data, texts and procedure calls.
     */
    OH_RIGHT_DATA = 8,
    /**
     * May receive tracks.
     */
    OH_RIGHT_SUBSCRIBE = 16,
    /**
     * May change its own name, metadata and attributes.
     */
    OH_RIGHT_UPDATE_METADATA = 32,
    /**
     * Is not visible to others.
     */
    OH_RIGHT_HIDDEN = 64,
    /**
     * Records the call.
     */
    OH_RIGHT_RECORDER = 128,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum oh_right oh_right;
#else
typedef int32_t oh_right;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Direction of media, seen from here.
 */
enum oh_direction
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * What is published.
     */
    OH_DIRECTION_SEND = 1,
    /**
     * What is received.
     */
    OH_DIRECTION_RECEIVE = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum oh_direction oh_direction;
#else
typedef int32_t oh_direction;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Why something that arrived cannot be decoded.
 */
enum oh_unplayable
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * The track is encrypted end to end.
     */
    OH_UNPLAYABLE_ENCRYPTED = 1,
    /**
     * Its codec is not supported.
     */
    OH_UNPLAYABLE_CODEC = 2,
    /**
     * The stream cannot be assigned to a track of a participant.
     */
    OH_UNPLAYABLE_UNASSIGNED = 3,
    /**
     * Its payload type was not negotiated.
     */
    OH_UNPLAYABLE_PAYLOAD_TYPE = 4,
    /**
     * Data or a text is encrypted end to end.
     */
    OH_UNPLAYABLE_DATA_ENCRYPTED = 5,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum oh_unplayable oh_unplayable;
#else
typedef int32_t oh_unplayable;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * A call: one participant's presence, from oh_call_join to oh_call_free. 0 is none.
 */
typedef struct oh_call {
    /**
     * Unique in the process, for ever; 0 is none.
     */
    uint64_t id;
} oh_call;

/**
 * oh_state before and after.
 */
typedef struct oh_event_state {
    /**
     * oh_state now.
     */
    int32_t state;
    /**
     * oh_state before.
     */
    int32_t previous;
} oh_event_state;

/**
 * Head count, self included.
 */
typedef struct oh_event_counts {
    /**
     * All participants.
     */
    uint32_t total;
    /**
     * Those of them who have no name and are not told one by one; 0 in protocols without such.
     */
    uint32_t anonymous;
} oh_event_counts;

/**
 * The call is joined.
 */
typedef struct oh_event_joined {
    /**
     * Own session id.
     */
    const char *session_id;
    /**
     * How many are in the call.
     */
    struct oh_event_counts counts;
    /**
     * Milliseconds since oh_call_join.
     */
    uint32_t join_ms;
    /**
     * Zero.
     */
    uint32_t reserved;
} oh_event_joined;

/**
 * A participant, as far as is known now.
 */
typedef struct oh_event_participant {
    /**
     * Who it is; one user may be in a call more than once (not with OH_PROTOCOL_LIVEKIT).
     */
    const char *user_id;
    /**
     * Names the participant in this call.
     */
    const char *session_id;
    /**
     * Shown to people, "" without any.
     */
    const char *name;
    /**
     * URL of a picture, "" without any.
     */
    const char *image;
    /**
     * Custom data as JSON, "" without any.
     */
    const char *custom;
    /**
     * 0 unknown, 1 poor, 2 good, 3 excellent, 4 lost.
     */
    int32_t quality;
    /**
     * Non-zero: speaks now.
     */
    uint32_t speaking;
    /**
     * Non-zero: speaks most.
     */
    uint32_t dominant;
    /**
     * 0.0 to 1.0.
     */
    float level;
    /**
     * The application's own text about this participant, "" without any (OH_CAP_ATTRIBUTES).
     */
    const char *metadata;
    /**
     * Names and values as a JSON object, "" without any (OH_CAP_ATTRIBUTES).
     */
    const char *attributes;
    /**
     * oh_participant_kind.
     */
    int32_t kind;
    /**
     * Non-zero: this is the local participant.
     */
    uint32_t local;
    /**
     * OH_EVENT_PARTICIPANT_LEFT: why, an oh_leave_reason; else 0.
     */
    int32_t reason;
    /**
     * Bits of oh_right; 0 in protocols that do not say them of others.
     */
    uint32_t rights;
} oh_event_participant;

/**
 * A participant's track.
 */
typedef struct oh_event_track {
    /**
     * Whose it is.
     */
    const char *user_id;
    /**
     * The participant's session.
     */
    const char *session_id;
    /**
     * oh_track_kind.
     */
    int32_t kind;
    /**
     * Why it ended: 0 not said, 1 muted by its user, 2 permission revoked, 3 moderation.
     */
    int32_t cause;
    /**
     * The SFU's name of the track, for oh_subscriber_set_track; "" in protocols without one.
     */
    const char *track_id;
    /**
     * As its publisher calls it; may be "". Its source is `kind`.
     */
    const char *name;
    /**
     * Non-zero: published, and muted.
     */
    uint32_t muted;
    /**
     * Non-zero: a track of the local participant, changed by a moderator.
     */
    uint32_t local;
    /**
     * Non-zero: a moderator unmuted it, and it stays muted until oh_track_set_muted says otherwise: with
     * oh_call_options.hold_unmute, and when the application itself had muted it.
     */
    uint32_t held;
    /**
     * Non-zero: encrypted end to end.
     */
    uint32_t encrypted;
} oh_event_track;

/**
 * How loud somebody is.
 */
typedef struct oh_event_level {
    /**
     * Who it is.
     */
    const char *user_id;
    /**
     * The participant's session.
     */
    const char *session_id;
    /**
     * 0.0 to 1.0.
     */
    float level;
    /**
     * Non-zero: speaks now.
     */
    uint32_t speaking;
} oh_event_level;

/**
 * How well somebody is connected.
 */
typedef struct oh_event_quality {
    /**
     * Who it is.
     */
    const char *user_id;
    /**
     * The participant's session.
     */
    const char *session_id;
    /**
     * 0 unknown, 1 poor, 2 good, 3 excellent, 4 lost.
     */
    int32_t quality;
    /**
     * Zero.
     */
    uint32_t reserved;
} oh_event_quality;

/**
 * Non-zero: allowed.
 */
typedef struct oh_event_grants {
    /**
     * Sound of a microphone.
     */
    uint32_t audio;
    /**
     * Video of a camera.
     */
    uint32_t video;
    /**
     * The screen, with its sound.
     */
    uint32_t screen_share;
    /**
     * Data, texts and procedure calls.
     */
    uint32_t data;
    /**
     * Receiving tracks.
     */
    uint32_t subscribe;
    /**
     * Changing the own name, metadata and attributes.
     */
    uint32_t update_metadata;
    /**
     * Not a permission: this participant is not visible to others.
     */
    uint32_t hidden;
    /**
     * Not a permission: this participant records the call.
     */
    uint32_t recorder;
} oh_event_grants;

/**
 * A pinned participant.
 */
typedef struct oh_pin {
    /**
     * Who it is.
     */
    const char *user_id;
    /**
     * The participant's session.
     */
    const char *session_id;
} oh_pin;

/**
 * Who is pinned, all of them.
 */
typedef struct oh_event_pins {
    /**
     * `count` of them, most important first; NULL when count is 0.
     */
    const struct oh_pin *pins;
    /**
     * How many.
     */
    uint32_t count;
    /**
     * Zero.
     */
    uint32_t reserved;
} oh_event_pins;

/**
 * A track that I publish. 0 is none.
 */
typedef struct oh_track {
    /**
     * Unique in the process, for ever; 0 is none.
     */
    uint64_t id;
} oh_track;

/**
 * What became of a track of mine.
 */
typedef struct oh_event_local {
    /**
     * None (id 0) when the application has freed it meanwhile.
     */
    struct oh_track track;
    /**
     * oh_result; OH_OK for OH_EVENT_LOCAL_PUBLISHED.
     */
    int32_t error;
    /**
     * The server's own code, 0 without one.
     */
    int32_t server_code;
    /**
     * What failed and what to do; "" for OH_EVENT_LOCAL_PUBLISHED.
     */
    const char *text;
} oh_event_local;

/**
 * Something that failed.
 */
typedef struct oh_event_error {
    /**
     * oh_result.
     */
    int32_t error;
    /**
     * The server's own code (SFU error code or HTTP status), 0 without one.
     */
    int32_t server_code;
    /**
     * What failed and what to do.
     */
    const char *text;
} oh_event_error;

/**
 * What is missing here. Packets and texts were dropped for want of room, or could not be put together.
 */
typedef struct oh_event_lost {
    /**
     * How many were dropped.
     */
    uint64_t count;
    /**
     * Packets of participants that were dropped, part of count.
     */
    uint64_t data_packets;
    /**
     * Their bytes.
     */
    uint64_t data_bytes;
    /**
     * Texts of participants that were dropped, part of count.
     */
    uint64_t texts;
} oh_event_lost;

/**
 * Sound of one participant. Everything it points to is valid during the callback only (of a pulled
 * event: until oh_event_free).
 */
typedef struct oh_audio {
    /**
     * sizeof(oh_audio) in the library; grows in later versions.
     */
    uint32_t size;
    /**
     * oh_audio_format: which of the three pointers below is set.
     */
    int32_t format;
    /**
     * Who is heard.
     */
    const char *user_id;
    /**
     * Names the participant; one user may be in a call more than once.
     */
    const char *session_id;
    /**
     * OH_AUDIO_S16: frames * channels samples; else NULL.
     */
    const int16_t *samples;
    /**
     * OH_AUDIO_F32: frames * channels samples; else NULL.
     */
    const float *samples_f32;
    /**
     * OH_AUDIO_OPUS: packet_size bytes; else NULL.
     */
    const uint8_t *packet;
    /**
     * Bytes at `packet`; 0 for other formats.
     */
    uint32_t packet_size;
    /**
     * Samples per channel: 20 ms of them; 0 for OH_AUDIO_OPUS.
     */
    uint32_t frames;
    /**
     * Samples per second and channel, as asked for in oh_call_options.
     */
    uint32_t rate;
    /**
     * Channels, as asked for in oh_call_options.
     */
    uint32_t channels;
    /**
     * RTP timestamp of the first sample, 48 kHz, wraps around.
     */
    uint32_t timestamp;
    /**
     * Loudness, 0.0 (silence) to 1.0; 0 for OH_AUDIO_OPUS.
     */
    float level;
    /**
     * oh_track_kind.
     */
    int32_t kind;
    /**
     * Non-zero: invented to hide a loss (of OH_AUDIO_OPUS: packets before this one were lost).
     */
    uint32_t concealed;
    /**
     * Non-zero: the sender sent nothing (muted or discontinuous transmission); the samples are zero.
     */
    uint32_t silence;
    /**
     * Zero.
     */
    uint32_t reserved;
    /**
     * The track, as in oh_event_track; "" in protocols without such names.
     */
    const char *track_id;
} oh_audio;

/**
 * Why and how the call ended.
 */
typedef struct oh_event_ended {
    /**
     * oh_end_reason.
     */
    int32_t code;
    /**
     * oh_result; OH_OK when the call ended as wanted.
     */
    int32_t error;
    /**
     * The server's own code, 0 without one.
     */
    int32_t server_code;
    /**
     * Zero.
     */
    uint32_t reserved;
    /**
     * In words.
     */
    const char *reason;
} oh_event_ended;

/**
 * How a lost connection was found again.
 */
typedef struct oh_event_reconnected {
    /**
     * Own session id now.
     */
    const char *session_id;
    /**
     * oh_reconnect.
     */
    int32_t how;
    /**
     * Attempts that it took.
     */
    uint32_t attempts;
    /**
     * Milliseconds since the loss was noticed.
     */
    uint64_t elapsed_ms;
} oh_event_reconnected;

/**
 * A custom event of the call.
 */
typedef struct oh_event_custom {
    /**
     * Who sent it; "" when the coordinator does not say.
     */
    const char *user_id;
    /**
     * The member `type` of the data when it is text, else "".
     */
    const char *custom_type;
    /**
     * The data as JSON, at most 16384 bytes; the order of its members is not that of the sender.
     */
    const char *json;
} oh_event_custom;

/**
 * The room itself.
 */
typedef struct oh_event_room {
    /**
     * The server's name of it.
     */
    const char *id;
    /**
     * Shown to people, mostly the name that the call was joined by.
     */
    const char *name;
    /**
     * The application's own text about the room, "" without any.
     */
    const char *metadata;
    /**
     * Non-zero: it is being recorded.
     */
    uint32_t recording;
    /**
     * Zero.
     */
    uint32_t reserved;
} oh_event_room;

/**
 * A packet of another participant.
 */
typedef struct oh_event_data_packet {
    /**
     * The sender; "" for the application's server. Data may come before OH_EVENT_PARTICIPANT_JOINED.
     */
    const char *user_id;
    /**
     * The sender's session, "" when it is not known.
     */
    const char *session_id;
    /**
     * What it is about, as its sender says; may be "".
     */
    const char *topic;
    /**
     * `size` bytes; NULL when size is 0.
     */
    const uint8_t *bytes;
    /**
     * Bytes at `bytes`.
     */
    uint32_t size;
    /**
     * Non-zero: it came over the lossy channel.
     */
    uint32_t lossy;
} oh_event_data_packet;

/**
 * A text of another participant.
 */
typedef struct oh_event_text {
    /**
     * The sender; "" for the application's server.
     */
    const char *user_id;
    /**
     * The sender's session, "" when it is not known.
     */
    const char *session_id;
    /**
     * What it is about, as its sender says; may be "".
     */
    const char *topic;
    /**
     * The sender's name of this text.
     */
    const char *id;
    /**
     * The whole text.
     */
    const char *text;
    /**
     * What its sender attached to it, names and values as a JSON object, "" without any.
     */
    const char *attributes;
} oh_event_text;

/**
 * A procedure call: a request of another participant, or the response to one of mine.
 */
typedef struct oh_event_rpc {
    /**
     * OH_EVENT_RPC_RESPONSE: the number that oh_call_rpc gave; else 0.
     */
    uint64_t call_id;
    /**
     * OH_EVENT_RPC_REQUEST: for oh_call_rpc_answer; else "".
     */
    const char *request_id;
    /**
     * OH_EVENT_RPC_REQUEST: who calls; else "".
     */
    const char *user_id;
    /**
     * OH_EVENT_RPC_REQUEST: the procedure; else "".
     */
    const char *method;
    /**
     * What is handed over, or the answer; of a failure its data, mostly "".
     */
    const char *payload;
    /**
     * OH_EVENT_RPC_RESPONSE: why it failed; else "".
     */
    const char *text;
    /**
     * OH_EVENT_RPC_RESPONSE: 0, or an oh_rpc_error, or a code of the other application's.
     */
    uint32_t error_code;
    /**
     * OH_EVENT_RPC_REQUEST: ms that the caller waits for the answer, as it tells; other clients may tell up to 7 s
     * less.
     */
    uint32_t timeout_ms;
} oh_event_rpc;

/**
 * Whether a track can be had.
 */
typedef struct oh_event_subscribable {
    /**
     * Whose track it is.
     */
    const char *user_id;
    /**
     * The participant's session.
     */
    const char *session_id;
    /**
     * The track, as in oh_event_track.
     */
    const char *track_id;
    /**
     * Non-zero: it can be had.
     */
    uint32_t allowed;
    /**
     * Zero.
     */
    uint32_t reserved;
} oh_event_subscribable;

/**
 * Media of one direction.
 */
typedef struct oh_event_media {
    /**
     * oh_direction.
     */
    int32_t direction;
    /**
     * Non-zero: connected, media can flow; zero: it was connected and was lost.
     */
    uint32_t connected;
    /**
     * What was tried and found; "" when connected.
     */
    const char *text;
} oh_event_media;

/**
 * What was accepted and could not be sent.
 */
typedef struct oh_event_unsent {
    /**
     * Milliseconds of audio, all tracks together.
     */
    uint64_t audio_ms;
    /**
     * Packets of oh_call_send_data.
     */
    uint64_t data_packets;
    /**
     * Texts of oh_call_send_text.
     */
    uint64_t texts;
    /**
     * Events of oh_call_send_custom.
     */
    uint64_t custom_events;
    /**
     * Answers of oh_call_rpc_answer.
     */
    uint64_t rpc_answers;
    /**
     * Bytes of all of them but audio.
     */
    uint64_t bytes;
} oh_event_unsent;

/**
 * What cannot be decoded.
 */
typedef struct oh_event_unplayable {
    /**
     * The sender; "" when it is not known.
     */
    const char *user_id;
    /**
     * The sender's session, "" when it is not known.
     */
    const char *session_id;
    /**
     * The track, as in oh_event_track; "" when it is not known, and of data.
     */
    const char *track_id;
    /**
     * What was found and what to do.
     */
    const char *text;
    /**
     * oh_track_kind; of data 0.
     */
    int32_t kind;
    /**
     * oh_unplayable.
     */
    int32_t reason;
} oh_event_unplayable;

/**
 * A piece of a text that is still arriving.
 */
typedef struct oh_event_text_part {
    /**
     * The sender; "" for the application's server.
     */
    const char *user_id;
    /**
     * The sender's session, "" when it is not known.
     */
    const char *session_id;
    /**
     * What it is about, as its sender says; may be "".
     */
    const char *topic;
    /**
     * The sender's name of this text, the same for all of its pieces and for OH_EVENT_TEXT.
     */
    const char *id;
    /**
     * What its sender attached to the text, names and values as a JSON object, "" without any.
     */
    const char *attributes;
    /**
     * The new piece; whole characters only.
     */
    const char *text;
    /**
     * Bytes of the text before this piece.
     */
    uint64_t offset;
} oh_event_text_part;

/**
 * A key of a telephone.
 */
typedef struct oh_event_dtmf {
    /**
     * Who pressed it.
     */
    const char *user_id;
    /**
     * The participant's session, "" when it is not known.
     */
    const char *session_id;
    /**
     * The key as a text: "0" to "9", "*", "#", "A" to "D".
     */
    const char *digit;
    /**
     * Its number by RFC 4733: 0 to 15.
     */
    uint32_t code;
    /**
     * Zero.
     */
    uint32_t reserved;
} oh_event_dtmf;

/**
 * The member that `kind` names.
 */
typedef union oh_event_data {
    /**
     * OH_EVENT_STATE.
     */
    struct oh_event_state state;
    /**
     * OH_EVENT_JOINED.
     */
    struct oh_event_joined joined;
    /**
     * OH_EVENT_PARTICIPANT_JOINED, _UPDATED, _LEFT.
     */
    struct oh_event_participant participant;
    /**
     * OH_EVENT_TRACK_PUBLISHED, OH_EVENT_TRACK_UNPUBLISHED.
     */
    struct oh_event_track track;
    /**
     * OH_EVENT_AUDIO_LEVEL, OH_EVENT_DOMINANT_SPEAKER.
     */
    struct oh_event_level level;
    /**
     * OH_EVENT_CONNECTION_QUALITY.
     */
    struct oh_event_quality quality;
    /**
     * OH_EVENT_COUNTS.
     */
    struct oh_event_counts counts;
    /**
     * OH_EVENT_GRANTS.
     */
    struct oh_event_grants grants;
    /**
     * OH_EVENT_PINS.
     */
    struct oh_event_pins pins;
    /**
     * OH_EVENT_LOCAL_PUBLISHED, OH_EVENT_LOCAL_FAILED.
     */
    struct oh_event_local local;
    /**
     * OH_EVENT_ERROR.
     */
    struct oh_event_error error;
    /**
     * OH_EVENT_LOST.
     */
    struct oh_event_lost lost;
    /**
     * OH_EVENT_AUDIO.
     */
    struct oh_audio audio;
    /**
     * OH_EVENT_ENDED.
     */
    struct oh_event_ended ended;
    /**
     * OH_EVENT_RECONNECTED.
     */
    struct oh_event_reconnected reconnected;
    /**
     * OH_EVENT_CUSTOM.
     */
    struct oh_event_custom custom;
    /**
     * OH_EVENT_ROOM.
     */
    struct oh_event_room room;
    /**
     * OH_EVENT_DATA.
     */
    struct oh_event_data_packet data;
    /**
     * OH_EVENT_TEXT.
     */
    struct oh_event_text text;
    /**
     * OH_EVENT_RPC_REQUEST, OH_EVENT_RPC_RESPONSE.
     */
    struct oh_event_rpc rpc;
    /**
     * OH_EVENT_SUBSCRIBABLE.
     */
    struct oh_event_subscribable subscribable;
    /**
     * OH_EVENT_MEDIA.
     */
    struct oh_event_media media;
    /**
     * OH_EVENT_UNSENT.
     */
    struct oh_event_unsent unsent;
    /**
     * OH_EVENT_UNPLAYABLE.
     */
    struct oh_event_unplayable unplayable;
    /**
     * OH_EVENT_TEXT_PART.
     */
    struct oh_event_text_part text_part;
    /**
     * OH_EVENT_DTMF.
     */
    struct oh_event_dtmf dtmf;
    /**
     * Room for later kinds: the size of an event does not change.
     */
    uint64_t reserved[24];
} oh_event_data;

/**
 * Something that happened. Everything it points to is valid during the callback only; of a pulled
 * event: until oh_event_free. Text is UTF-8, never NULL and never cut: what a message within
 * oh_client_options.max_message_bytes says arrives whole. A zero byte inside becomes U+FFFD.
 */
typedef struct oh_event {
    /**
     * sizeof(oh_event) in the library.
     */
    uint32_t size;
    /**
     * oh_event_kind; skip what you do not know.
     */
    int32_t kind;
    /**
     * Whose event it is.
     */
    struct oh_call call;
    /**
     * Milliseconds since oh_call_join.
     */
    uint64_t at_ms;
    /**
     * What happened, in the member that `kind` names.
     */
    union oh_event_data u;
} oh_event;

/**
 * Gets the events of a call, in order.
 *
 * Runs on a callback thread; the callbacks of one call (events and media) run one at a time, with
 * no lock held: every function of the library may be called, oh_call_free included.
 */
typedef void (*oh_event_handler)(void *user_data, struct oh_call call, const struct oh_event *event);

/**
 * Gets 20 ms of one participant, for every participant that is heard.
 *
 * @param user_data  as in oh_call_handlers.
 * @param call       the call it belongs to.
 * @param audio      valid during the call only.
 *
 * Runs on a callback thread; the callbacks of one call run one at a time. When it is too slow, the
 * oldest frames are dropped and counted (oh_call_stats.media_dropped); other calls are not delayed.
 */
typedef void (*oh_audio_handler)(void *user_data, struct oh_call call, const struct oh_audio *audio);

/**
 * Releases what user_data points to; called exactly once, after the last callback that used it.
 */
typedef void (*oh_destroy)(void *user_data);

/**
 * Who hears what happens. With neither on_event nor on_audio the call is in pull mode: see
 * oh_call_next_event.
 */
typedef struct oh_call_handlers {
    /**
     * NULL: events are not told (with on_audio set).
     */
    oh_event_handler on_event;
    /**
     * NULL: sound is not told.
     */
    oh_audio_handler on_audio;
    /**
     * Called exactly once, after the last callback of this call; may be NULL. Not called when
     * oh_call_join fails: user_data then stays the caller's.
     */
    oh_destroy destroy;
    /**
     * Handed back to all three.
     */
    void *user_data;
} oh_call_handlers;

/**
 * What to join and how. Begin with OH_CALL_OPTIONS_INIT or oh_call_options_init. All text is copied.
 */
typedef struct oh_call_options {
    /**
     * sizeof(oh_call_options).
     */
    uint32_t size;
    /**
     * Retries of a failed join on other edges, 0 to 10; INIT sets 3.
     */
    int32_t join_retries;
    /**
     * Which call. Required; with OH_PROTOCOL_LIVEKIT the room, NULL: the one that the token is for. With
     * OH_PROTOCOL_STREAM id and call_type are parts of a path: 1024 bytes at most, no control characters, not "."
     * or "..".
     */
    const char *id;
    /**
     * The call's type; NULL: "default".
     */
    const char *call_type;
    /**
     * Token for this call instead of the client's; NULL: the client's. Blanks and line breaks around it are left
     * out.
     */
    const char *token;
    /**
     * The `data` of the join request as a JSON object; NULL: none.
     */
    const char *data_json;
    /**
     * Who hears what happens; all zero: pull mode.
     */
    struct oh_call_handlers handlers;
    /**
     * Samples per second of what is heard, 8000 to 192000; 0: 48000.
     */
    uint32_t audio_rate;
    /**
     * Channels of what is heard, 1 or 2; 0: 1.
     */
    uint32_t audio_channels;
    /**
     * oh_audio_format of what is heard.
     */
    int32_t audio_format;
    /**
     * Receive buffer: least and greatest delay in ms, 0 to 2000; both 0: 20 to 200.
     */
    uint32_t audio_min_delay_ms;
    /**
     * As audio_min_delay_ms.
     */
    uint32_t audio_max_delay_ms;
    /**
     * Events queued for the application at most, 16 to 65536; 0: 1024. Beyond it events are
     * dropped and OH_EVENT_LOST says how many. Room of their own have participants who come and go and their
     * tracks (32768 events, 16 MiB). Answers to procedure calls, state events and the terminal event are never
     * dropped, nor are packets and texts of participants: beyond as many, what is sent reliably is left with its
     * sender (flow control).
     */
    uint32_t event_queue;
    /**
     * Frames of 20 ms queued for the application at most, 1 to 4096, all participants together;
     * 0: 50. Beyond it the oldest is dropped and counted.
     */
    uint32_t audio_queue;
    /**
     * Non-zero: never receive (a publish-only bot). No subscriber is created; with OH_PROTOCOL_LIVEKIT one for
     * which nothing is asked, because servers take that connection for the participant's.
     */
    uint32_t no_subscriber;
    /**
     * Pull mode: non-zero to get sound as OH_EVENT_AUDIO.
     */
    uint32_t pull_audio;
    /**
     * Non-zero: do not create the call when it does not exist.
     */
    uint32_t no_create;
    /**
     * Non-zero: ring the members.
     */
    uint32_t ring;
    /**
     * Non-zero: notify the members.
     */
    uint32_t notify;
    /**
     * How long a lost connection is looked for before the call ends, in ms; 0: 30000; OH_FOREVER: as
     * long as it takes. Meanwhile the call is in OH_STATE_RECONNECTING, MIGRATING or OFFLINE; handles
     * stay valid and what is written to tracks is discarded.
     */
    uint32_t disconnect_timeout_ms;
    /**
     * Non-zero: ask with OH_EVENT_TOKEN_NEEDED for another token when the one given has expired. Always
     * so when none was given.
     */
    uint32_t renew_token;
    /**
     * Non-zero: a track is received only when oh_subscriber_set_track asks for it (OH_CAP_SUBSCRIPTIONS).
     */
    uint32_t no_auto_subscribe;
    /**
     * Zero.
     */
    uint32_t reserved;
    /**
     * How long oh_call_leave and oh_call_free go on sending what was accepted before (audio, data, texts, custom
     * events, answers to procedure calls), in ms, 1 to 1000; 0: 1000; OH_NO_DRAIN: not at all. The whole of a leave
     * still takes two seconds at most.
     */
    uint32_t drain_ms;
    /**
     * Non-zero: pieces of texts come as they arrive, too (OH_EVENT_TEXT_PART).
     */
    uint32_t partial_texts;
    /**
     * Non-zero: a track that a moderator unmutes stays muted until oh_track_set_muted agrees; see
     * oh_event_track.held.
     */
    uint32_t hold_unmute;
    /**
     * Bytes of payload in events that wait for the application at most, 65536 to 1073741824; 0: 4194304. Beyond
     * it reliable data is left with its sender (flow control), everything else as beyond event_queue.
     */
    uint32_t event_bytes;
} oh_call_options;

/**
 * Configuration, credentials and the connections to the servers; calls are made from it. 0 is none.
 */
typedef struct oh_client {
    /**
     * Unique in the process, for ever; 0 is none.
     */
    uint64_t id;
} oh_client;

/**
 * How to reach the service, and as whom. Begin with OH_CLIENT_OPTIONS_INIT or
 * oh_client_options_init. All text is copied.
 */
typedef struct oh_client_options {
    /**
     * sizeof(oh_client_options).
     */
    uint32_t size;
    /**
     * Largest message taken from an SFU, in bytes on the wire, 1024 to 67108864; 0: 1048576, with
     * OH_PROTOCOL_LIVEKIT 16777216 (room for 3,000 participants with 4 KiB of metadata each). A larger one closes
     * the connection with code 1009 and is reported with OH_ERR_LIMIT, this option's name and the size: a join
     * ends with it; later it is an OH_EVENT_ERROR and the call reconnects, and ends when it comes again within two
     * minutes. Within it, no text of a participant or room is cut.
     */
    uint32_t max_message_bytes;
    /**
     * Base URL of the coordinator, for instance "https://video.example.com". Required. With
     * OH_PROTOCOL_LIVEKIT the URL of the server, for instance "wss://sfu.example.com"; several servers of
     * one cluster may be given, parted by spaces: the first is asked first, the others when it is gone. A query
     * in it is part of every request.
     */
    const char *url;
    /**
     * The application's key at the service; NULL: none. Of key and token, blanks and line breaks around them are
     * left out; inside they are OH_ERR_ARGUMENT.
     */
    const char *api_key;
    /**
     * Who joins; NULL: the claim `user_id` (with OH_PROTOCOL_LIVEKIT `sub`) of the token.
     */
    const char *user_id;
    /**
     * The user's token (a JWT); NULL: every call asks for one with OH_EVENT_TOKEN_NEEDED.
     */
    const char *token;
    /**
     * PEM file with certificates to trust besides those of the system; NULL: none. A server that presents one of
     * them itself (a self-signed certificate) is accepted, too; host name and dates of validity are checked all
     * the same. Keys on the curve P-521 are not supported.
     */
    const char *ca_file;
    /**
     * URL that tells the nearest edge in its `x-amz-cf-pop` header; NULL: not asked. It gets no token.
     */
    const char *hint_url;
    /**
     * Non-zero allows plain http and ws to hosts that are not loopback. Tokens then travel in the
     * clear. TLS is always verified.
     */
    uint32_t allow_insecure;
    /**
     * Non-zero: also hear the coordinator's own events (OH_EVENT_CUSTOM), over one more WebSocket
     * for all calls of this client. It is connected again whenever it is lost and never disturbs a
     * call; a join waits 500 ms for its first connection at most.
     */
    uint32_t events;
    /**
     * oh_protocol: what is spoken with the service. With 0 (OH_PROTOCOL_STREAM) a URL that begins with wss:// or
     * ws:// means OH_PROTOCOL_LIVEKIT. api_key, hint_url and events are of OH_PROTOCOL_STREAM.
     */
    int32_t protocol;
    /**
     * Zero.
     */
    uint32_t reserved;
    /**
     * Non-zero: tokens may go to hosts that the server names over a connection without TLS. Zero: over TLS any
     * host that the server names; without TLS only the host that the token was given for (all ports of it; the
     * addresses of loopback are one host). Redirects are never followed. A server that is not on this machine or
     * link may name nothing there (loopback and link-local addresses, also by a name), whatever is set here:
     * OH_ERR_INSECURE.
     */
    uint32_t allow_other_hosts;
    /**
     * Zero.
     */
    uint32_t reserved2;
} oh_client_options;

/**
 * To whom, and how. Begin with OH_DATA_OPTIONS_INIT or oh_data_options_init. All text is copied.
 */
typedef struct oh_data_options {
    /**
     * sizeof(oh_data_options).
     */
    uint32_t size;
    /**
     * Non-zero: sent once, and what is lost is lost; else every one arrives, in order. Texts always do.
     */
    uint32_t lossy;
    /**
     * What it is about, for the application's own use; NULL: "".
     */
    const char *topic;
    /**
     * `to_count` user ids; NULL: everybody in the call.
     */
    const char *const *to;
    /**
     * How many user ids are at `to`.
     */
    uint32_t to_count;
    /**
     * Zero.
     */
    uint32_t reserved;
} oh_data_options;

/**
 * Which procedure of whom. Begin with OH_RPC_OPTIONS_INIT or oh_rpc_options_init. All text is copied.
 */
typedef struct oh_rpc_options {
    /**
     * sizeof(oh_rpc_options).
     */
    uint32_t size;
    /**
     * How long to wait for the answer in ms, 1000 to 600000; 0: 15000.
     */
    uint32_t timeout_ms;
    /**
     * The user id of the participant. Required.
     */
    const char *to;
    /**
     * The procedure's name. Required.
     */
    const char *method;
    /**
     * Handed over, 15360 bytes at most; NULL: "".
     */
    const char *payload;
} oh_rpc_options;

/**
 * Gets a log line.
 *
 * @param user_data  as given to oh_log_set.
 * @param level      one of oh_log_level.
 * @param text       one line, UTF-8, no newline, no secrets; valid during the call only.
 *
 * Runs on a callback thread, one line at a time; when it is too slow lines are dropped and their
 * number is told. It delays no call. It may use the library.
 */
typedef void (*oh_log_handler)(void *user_data, int32_t level, const char *text);

/**
 * What all calls of the process together may use. Begin with OH_LIMITS_INIT or oh_limits_init.
 */
typedef struct oh_limits {
    /**
     * sizeof(oh_limits).
     */
    uint32_t size;
    /**
     * Threads for callbacks at most, 8 to 65536; 0: 512. There are two, and more only while callbacks block. When
     * so many block, the callbacks of other calls wait; only calls whose last callback returned within 100 ms go
     * on, on four threads more (replaced, up to a quarter of callback_threads, should they block as well).
     */
    uint32_t callback_threads;
    /**
     * Bytes of payload in events and of sound that wait for the application, of all calls together, 1048576 to
     * 1099511627776; 0: 268435456. Beyond it what a call gets is dropped as beyond oh_call_options.event_bytes (a call
     * in which no more than 65536 bytes wait goes on), and oh_call_join gives OH_ERR_LIMIT.
     */
    uint64_t queue_bytes;
} oh_limits;

/**
 * What I send in a call; its tracks are oh_track. 0 is none.
 */
typedef struct oh_publisher {
    /**
     * Unique in the process, for ever; 0 is none.
     */
    uint64_t id;
} oh_publisher;

/**
 * Figures of one call since oh_call_join. Set `size` before oh_call_get_stats.
 */
typedef struct oh_call_stats {
    /**
     * sizeof(oh_call_stats).
     */
    uint32_t size;
    /**
     * Participants known, self included.
     */
    uint32_t participants;
    /**
     * Milliseconds from oh_call_join to JOINED; 0: not yet.
     */
    uint64_t join_ms;
    /**
     * Milliseconds from oh_call_join to the first sound handed over; 0: none yet.
     */
    uint64_t first_audio_ms;
    /**
     * Offers of the SFU dropped because the call was leaving, or the subscriber closed, freed, never
     * created or of an old generation.
     */
    uint64_t late_offers;
    /**
     * Those of late_offers that came while the call was leaving.
     */
    uint64_t late_offers_leaving;
    /**
     * Other late or stale messages, replies and candidates, dropped.
     */
    uint64_t late_messages;
    /**
     * Messages of the SFU that could not be read, dropped.
     */
    uint64_t malformed_messages;
    /**
     * Messages of kinds that this version does not know, or has no use for.
     */
    uint64_t unknown_messages;
    /**
     * Offers of the SFU that were answered.
     */
    uint64_t offers_answered;
    /**
     * Offers of the SFU that could not be answered.
     */
    uint64_t offers_failed;
    /**
     * Attempts to join, the first included.
     */
    uint64_t join_attempts;
    /**
     * Requests to the SFU.
     */
    uint64_t rpcs;
    /**
     * Requests that were sent again.
     */
    uint64_t rpc_retries;
    /**
     * Events of the kinds error and local_failed.
     */
    uint64_t errors;
    /**
     * ICE candidates that were stale, unreadable or too many.
     */
    uint64_t candidates_dropped;
    /**
     * RTP packets received.
     */
    uint64_t packets_received;
    /**
     * Their bytes.
     */
    uint64_t bytes_received;
    /**
     * Packets of sound that never came.
     */
    uint64_t packets_lost;
    /**
     * Packets of sound that came too late to be played.
     */
    uint64_t packets_late;
    /**
     * Frames of 20 ms (or Opus packets) put out for the application.
     */
    uint64_t frames_played;
    /**
     * Frames invented to hide a loss.
     */
    uint64_t frames_concealed;
    /**
     * Frames restored by forward error correction.
     */
    uint64_t frames_restored;
    /**
     * RTP packets sent.
     */
    uint64_t packets_sent;
    /**
     * Their bytes.
     */
    uint64_t bytes_sent;
    /**
     * Frames dropped because the application was too slow to take them.
     */
    uint64_t media_dropped;
    /**
     * Events dropped because the application was too slow to take them.
     */
    uint64_t events_lost;
    /**
     * Variation of arrival times, the greatest of all tracks, ms.
     */
    uint32_t jitter_ms;
    /**
     * Zero.
     */
    uint32_t reserved;
    /**
     * Reconnects that succeeded with a new socket only.
     */
    uint64_t reconnects_fast;
    /**
     * Reconnects that succeeded with a new session.
     */
    uint64_t reconnects_rejoin;
    /**
     * Reconnects that succeeded by going to another edge.
     */
    uint64_t reconnects_migrate;
    /**
     * Attempts to reconnect, failed ones included.
     */
    uint64_t reconnect_attempts;
    /**
     * Further reasons to reconnect that came while a reconnect was under way.
     */
    uint64_t reconnect_triggers_merged;
    /**
     * Packets and texts between participants that were lost, could not be read or put together, or were
     * more than may wait.
     */
    uint64_t data_dropped;
    /**
     * RTP packets that could not be decoded: encrypted end to end, or of a codec or payload type that is not
     * supported.
     */
    uint64_t packets_unplayable;
    /**
     * RTP packets that could not be assigned to a track of a participant.
     */
    uint64_t packets_unassigned;
    /**
     * RTP packets of padding only.
     */
    uint64_t packets_padding;
    /**
     * Lost frames that came again in a later packet of redundant audio (RED, RFC 2198), in time to be played.
     */
    uint64_t frames_restored_red;
    /**
     * Milliseconds of audio dropped because a live track was written faster than it is sent, or by
     * oh_track_clear.
     */
    uint64_t audio_dropped_ms;
    /**
     * Packets and texts of participants that were encrypted end to end, part of data_dropped.
     */
    uint64_t data_encrypted;
    /**
     * What was accepted and could not be sent before the end: packets, texts, custom events and answers.
     */
    uint64_t data_unsent;
    /**
     * Bytes of payload in events that wait for the application now.
     */
    uint64_t event_bytes;
} oh_call_stats;

/**
 * What I receive in a call. It can be closed or freed on its own, for instance by a bot that only
 * publishes. 0 is none.
 */
typedef struct oh_subscriber {
    /**
     * Unique in the process, for ever; 0 is none.
     */
    uint64_t id;
} oh_subscriber;

/**
 * What is wanted of one remote track. Begin with OH_REMOTE_TRACK_OPTIONS_INIT or
 * oh_remote_track_options_init.
 */
typedef struct oh_remote_track_options {
    /**
     * sizeof(oh_remote_track_options).
     */
    uint32_t size;
    /**
     * Non-zero: nothing at all.
     */
    uint32_t unsubscribe;
    /**
     * Non-zero: nothing for the moment; comes back faster than after unsubscribe.
     */
    uint32_t pause;
    /**
     * oh_layer, where no size is given.
     */
    int32_t layer;
    /**
     * The size at which video is shown, in pixels; 0: not said.
     */
    uint32_t width;
    /**
     * As width.
     */
    uint32_t height;
    /**
     * Frames per second at most; 0: not said.
     */
    uint32_t fps;
    /**
     * Where bandwidth is short: 1 goes first; 0: the SFU decides.
     */
    uint32_t priority;
} oh_remote_track_options;

/**
 * Who is let in where, and may do what. Begin with OH_ACCESS_TOKEN_OPTIONS_INIT or
 * oh_access_token_options_init.
 */
typedef struct oh_access_token_options {
    /**
     * sizeof(oh_access_token_options).
     */
    uint32_t size;
    /**
     * Seconds that the token is good for, 1 to 31536000; 0: 21600 (6 hours).
     */
    uint32_t ttl_s;
    /**
     * The service's key and its secret. Required. Keep the secret on servers. Blanks and line breaks around them
     * are left out.
     */
    const char *api_key;
    /**
     * As api_key.
     */
    const char *api_secret;
    /**
     * The user id. Required.
     */
    const char *user_id;
    /**
     * The call's id. Required.
     */
    const char *call_id;
    /**
     * Shown to people; NULL: none.
     */
    const char *name;
    /**
     * The application's own text about the participant; NULL: none.
     */
    const char *metadata;
    /**
     * Names and values as a JSON object of texts; NULL: none.
     */
    const char *attributes_json;
    /**
     * Non-zero: may not publish.
     */
    uint32_t no_publish;
    /**
     * Non-zero: may not receive.
     */
    uint32_t no_subscribe;
    /**
     * Non-zero: may not send data.
     */
    uint32_t no_data;
    /**
     * Non-zero: may call oh_call_set_attributes.
     */
    uint32_t may_set_attributes;
    /**
     * Non-zero: the others do not see it.
     */
    uint32_t hidden;
    /**
     * Non-zero: may also administrate the room over the server's own API.
     */
    uint32_t room_admin;
} oh_access_token_options;

/**
 * What is sent and how. Begin with OH_AUDIO_TRACK_OPTIONS_INIT or oh_audio_track_options_init.
 */
typedef struct oh_audio_track_options {
    /**
     * sizeof(oh_audio_track_options).
     */
    uint32_t size;
    /**
     * oh_audio_format of what will be written; s16 and f32 may be mixed freely.
     */
    int32_t format;
    /**
     * Samples per second of what will be written, 8000 to 192000; 0: 48000.
     */
    uint32_t rate;
    /**
     * Channels of what will be written, 1 to 8; 0: 1. More than two are mixed down.
     */
    uint32_t channels;
    /**
     * bit/s of Opus, 6000 to 510000; 0: 64000, with music 128000.
     */
    uint32_t bitrate;
    /**
     * Effort of the Opus encoder, 0 to 10; -1: the library's choice.
     */
    int32_t complexity;
    /**
     * How much may be written ahead, in ms, 40 to 5000; 0: 200.
     */
    uint32_t buffer_ms;
    /**
     * Non-zero: music rather than speech.
     */
    uint32_t music;
    /**
     * Non-zero: no discontinuous transmission (silence is sent, too). Zero: as the call's settings
     * say; never for music.
     */
    uint32_t no_dtx;
    /**
     * Non-zero: no forward error correction.
     */
    uint32_t no_fec;
    /**
     * Non-zero: start muted.
     */
    uint32_t muted;
    /**
     * Zero.
     */
    uint32_t reserved;
    /**
     * Non-zero: what is written is heard now or never (a microphone, a bridge): at most 40 ms wait, beyond it the
     * oldest is dropped and counted (oh_call_stats.audio_dropped_ms). A write never gives OH_ERR_FULL then.
     */
    uint32_t live;
    /**
     * Redundant audio (RED, RFC 2198), where the call and its SFU allow it: how many earlier frames are sent once
     * more with each packet, 1 or 2; -1: none. 0: 1. A packet that is lost is then made good by the next one. It
     * costs the bytes of the earlier frames again.
     */
    int32_t red;
} oh_audio_track_options;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Fills in the defaults; the same as OH_CALL_OPTIONS_INIT, for languages without macros.
 *
 * @param options  may be NULL: then nothing happens.
 *
 * # Safety
 * `options` must be NULL or writable.
 */
void oh_call_options_init(struct oh_call_options *options);

/**
 * Starts to join a call. Returns at once; OH_EVENT_JOINED or OH_EVENT_ENDED tells the result
 * (oh_call_wait waits for it).
 *
 * @param client   the client; it must live as long as its calls, freeing it frees them.
 * @param options  see oh_call_options; `id` is required.
 * @param call     receives the handle, before the first callback runs.
 * @return         OH_OK; OH_ERR_ARGUMENT with details in oh_last_error; OH_ERR_HANDLE; OH_ERR_ABI;
 *                 OH_ERR_LIMIT when the system has no threads or descriptors left, or when more than
 *                 oh_limits.queue_bytes wait for the application; OH_ERR_STATE while the library shuts
 *                 down. On failure destroy is not called, and `call` is not written.
 *
 * Any thread, callbacks included. Free it with oh_call_free.
 *
 * # Safety
 * `options` must be NULL or point to a structure as large as its `size`, with valid strings;
 * `call` must be NULL or writable. The handlers must be callable from any thread.
 */
oh_result oh_call_join(struct oh_client client, const struct oh_call_options *options, struct oh_call *call);

/**
 * Waits until a call is in a state.
 *
 * @param call        the call.
 * @param state       oh_state; OH_STATE_JOINED and OH_STATE_LEFT are the useful ones. For
 *                    OH_STATE_LEFT it waits until OH_EVENT_ENDED was handed over (and destroy
 *                    called), so that freeing the call next loses nothing.
 * @param timeout_ms  how long to wait; 0: only look; OH_FOREVER.
 * @return            OH_OK when the call is in that state; OH_ERR_TIMEOUT; when the call ended
 *                    first: the error it ended with (OH_ERR_CANCELLED when the application left),
 *                    oh_last_error has its text; OH_ERR_WOULD_DEADLOCK inside a callback of the
 *                    same call, and for OH_STATE_LEFT inside a callback of another call for which a
 *                    callback of this one waits, directly or around corners.
 */
oh_result oh_call_wait(struct oh_call call, int32_t state, uint32_t timeout_ms);

/**
 * The state a call is in now.
 *
 * @param state  receives an oh_state.
 * @return       OH_OK; OH_ERR_HANDLE; OH_ERR_ARGUMENT.
 *
 * # Safety
 * `state` must be NULL or writable.
 */
oh_result oh_call_state(struct oh_call call, int32_t *state);

/**
 * What a call was given and what it decided: the trace of its rules, to find out why it did what it did, and to let
 * the same happen again. Lines of JSON: the first has the call's settings, each other one something that was given
 * ("in", "tick", with the time in ns) or decided ("out"). Of a long call the end is kept. Works until the call is
 * freed, also when it is over. Attach it to a report of a defect.
 *
 * No tokens, passwords, metadata, texts, payloads and packets of media are in it: a hash or a length stands in their
 * place. Names of participants and addresses of this machine are.
 *
 * @param buf     receives the text, cut after the last line that fits and always NUL-terminated; may be NULL when
 *                len is 0.
 * @param len     bytes at buf.
 * @param needed  receives the bytes that the whole text needs without its NUL; a call that goes on may need more
 *                the next time.
 * @return        OH_OK; OH_ERR_HANDLE; OH_ERR_ARGUMENT.
 *
 * Any thread, callbacks included. Usually less than 1 MiB.
 *
 * # Safety
 * `buf` must be NULL or point to `len` writable bytes; `needed` must be NULL or writable.
 */
oh_result oh_call_trace(struct oh_call call,
                        char *buf,
                        size_t len,
                        size_t *needed);

/**
 * Answers OH_EVENT_TOKEN_NEEDED, inside the callback or later.
 *
 * @param token  the user's token, blanks and line breaks around it are left out; NULL: there is none, the join
 *               fails with OH_ERR_AUTH.
 * @return       OH_OK; OH_ERR_STATE when the call is over; OH_ERR_HANDLE; OH_ERR_ARGUMENT.
 *
 * Any thread. Without a question the token is ignored. With OH_PROTOCOL_LIVEKIT a token for another call is an
 * argument error, and the question stays.
 *
 * # Safety
 * `token` must be NULL or a NUL-terminated string.
 */
oh_result oh_call_provide_token(struct oh_call call,
                                const char *token);

/**
 * Sends a custom event to everyone who watches the call (participants whose clients hear the
 * coordinator's events, this one included). Returns at once; the events of one call are sent in
 * order. What could not be sent comes as OH_EVENT_ERROR and is not sent again.
 *
 * @param call  the call, joined; its client needs no oh_client_options.events to send.
 * @param json  a JSON object, 16384 bytes at most.
 * @return      OH_OK; OH_ERR_ARGUMENT when json is no JSON object, or too long; OH_ERR_STATE before
 *              the join or after the end; OH_ERR_FULL when 32 of them wait to be sent;
 *              OH_ERR_HANDLE; OH_ERR_LIMIT.
 *
 * Any thread, callbacks included.
 *
 * # Safety
 * `json` must be NULL or a NUL-terminated string.
 */
oh_result oh_call_send_custom(struct oh_call call, const char *json);

/**
 * Leaves: sends what was accepted before (audio, data, texts, custom events, answers to procedure calls), says
 * leave message, and ends with OH_EVENT_ENDED within 2 s. Returns at once; from here on nothing more is accepted, and
 * nothing more is received.
 *
 * What waits is sent within oh_call_options.drain_ms, only as long as it takes; the last sound has 0.2 s more to be
 * heard before the others learn that this participant is gone. What could not be sent in time, or because the
 * connection was lost, comes as OH_EVENT_UNSENT before OH_EVENT_ENDED.
 *
 * @param call    the call; leaving twice, or after the end, is fine.
 * @param reason  told to the SFU, cut to 115 bytes; may be NULL.
 * @return        OH_OK; OH_ERR_HANDLE; OH_ERR_ARGUMENT when reason is not UTF-8.
 *
 * Any thread, callbacks included. The handle stays valid until oh_call_free.
 *
 * # Safety
 * `reason` must be NULL or a NUL-terminated string.
 */
oh_result oh_call_leave(struct oh_call call,
                        const char *reason);

/**
 * Frees a call: leaves it if that was not done, and ends its callbacks. Its publisher, subscriber
 * and tracks are freed with it.
 *
 * After it returns, no callback of this call runs, and destroy has been called: a callback in
 * progress on another thread is waited for. Inside a callback of the same call it returns at once
 * and takes effect when that callback returns. So it does when the callback in progress itself waits for the
 * callback that this is called in: calls that free each other, or wait for each other, inside their callbacks
 * do not deadlock. What was accepted before is still sent, as after oh_call_leave, and the leave message to the SFU follows:
 * in the background, 2 s at most. What could not be sent is then only logged: to hear of it, call oh_call_leave
 * and wait for OH_STATE_LEFT first. A process that ends meanwhile ends it, too: oh_shutdown_wait waits for it.
 *
 * @param call  none or stale: nothing happens.
 *
 * Any thread, callbacks included.
 */
void oh_call_free(struct oh_call call);

/**
 * Fills in the defaults; the same as OH_CLIENT_OPTIONS_INIT, for languages without macros.
 *
 * @param options  may be NULL: then nothing happens.
 *
 * # Safety
 * `options` must be NULL or writable.
 */
void oh_client_options_init(struct oh_client_options *options);

/**
 * Makes a client. Contacts nobody.
 *
 * @param options  see oh_client_options; `url` is required.
 * @param client   receives the handle.
 * @return         OH_OK; OH_ERR_ARGUMENT with details in oh_last_error; OH_ERR_INSECURE for plain
 *                 http to a host that is not loopback; OH_ERR_ABI; OH_ERR_LIMIT.
 *
 * Any thread. Free it with oh_client_free.
 *
 * # Safety
 * `options` must be NULL or point to a structure as large as its `size`; `client` must be NULL or
 * writable.
 */
oh_result oh_client_new(const struct oh_client_options *options, struct oh_client *client);

/**
 * Frees a client and what is left of it: its calls are left and freed as by oh_call_free, in any
 * order relative to handles of your own.
 *
 * @param client  none or stale: nothing happens.
 *
 * Any thread, callbacks included. May wait for callbacks in progress on other threads.
 */
void oh_client_free(struct oh_client client);

/**
 * Fills in the defaults; the same as OH_DATA_OPTIONS_INIT, for languages without macros.
 *
 * @param options  may be NULL: then nothing happens.
 *
 * # Safety
 * `options` must be NULL or writable.
 */
void oh_data_options_init(struct oh_data_options *options);

/**
 * Sends a packet to other participants (OH_CAP_DATA). Returns at once; packets of one delivery are sent in
 * order. They wait while the connection is being made anew.
 *
 * @param options  NULL: reliable, to everybody, without a topic.
 * @param data     `size` bytes; may be NULL when size is 0.
 * @param size     60000 at most; 15000 is a good size, for what is larger holds up what follows it.
 * @return         OH_OK; OH_ERR_ARGUMENT; OH_ERR_UNSUPPORTED; OH_ERR_REFUSED without the right to send data (see
 *                 OH_EVENT_GRANTS); OH_ERR_STATE before the join and after the end; OH_ERR_FULL when 1 MiB waits to be sent: try again later; OH_ERR_CLOSED when the
 *                 publisher was closed; OH_ERR_HANDLE.
 *
 * Any thread, callbacks included.
 *
 * # Safety
 * `options` as its own documentation says; `data` must point to `size` readable bytes.
 */
oh_result oh_call_send_data(struct oh_call call,
                            const struct oh_data_options *options,
                            const void *data,
                            size_t size);

/**
 * Sends a text of any length to other participants (OH_CAP_TEXT); it arrives whole, as OH_EVENT_TEXT.
 *
 * @param options  as for oh_call_send_data; `lossy` is not looked at.
 * @param text     1048576 bytes at most.
 * @return         as oh_call_send_data.
 *
 * Any thread, callbacks included.
 *
 * # Safety
 * `options` as its own documentation says; `text` must be NULL or a NUL-terminated string.
 */
oh_result oh_call_send_text(struct oh_call call, const struct oh_data_options *options, const char *text);

/**
 * Fills in the defaults; the same as OH_RPC_OPTIONS_INIT, for languages without macros.
 *
 * @param options  may be NULL: then nothing happens.
 *
 * # Safety
 * `options` must be NULL or writable.
 */
void oh_rpc_options_init(struct oh_rpc_options *options);

/**
 * Calls a procedure of another participant (OH_CAP_RPC). Returns at once; OH_EVENT_RPC_RESPONSE with the
 * same number tells what became of it, exactly once.
 *
 * @param options  `to` and `method` are required.
 * @param id       receives the number; may be NULL.
 * @return         OH_OK; OH_ERR_ARGUMENT; OH_ERR_UNSUPPORTED; OH_ERR_REFUSED without the right to send data;
 *                 OH_ERR_STATE after the end; OH_ERR_FULL; OH_ERR_HANDLE.
 *
 * Any thread, callbacks included. The response may come before this function has returned.
 *
 * # Safety
 * `options` must be NULL or point to a structure as large as its `size`, with valid texts; `id` must be
 * NULL or writable.
 */
oh_result oh_call_rpc(struct oh_call call, const struct oh_rpc_options *options, uint64_t *id);

/**
 * Answers OH_EVENT_RPC_REQUEST, inside the callback or later. An answer that comes twice, or when nobody can wait
 * for it any more (7 s after the time that the event tells), is dropped and counted.
 *
 * @param request_id  of the event.
 * @param payload     the answer, 15360 bytes at most; of a failure data about it; NULL: "". What is longer, or not
 *                    UTF-8, is OH_ERR_ARGUMENT, and the caller hears OH_RPC_RESPONSE_TOO_LARGE at once.
 * @param error_code  0: it went well; else an oh_rpc_error, or a code of your own.
 * @param error_text  why it failed, cut to 256 bytes; may be NULL.
 * @return            OH_OK; OH_ERR_ARGUMENT; OH_ERR_UNSUPPORTED; OH_ERR_REFUSED without the right to send data;
 *                    OH_ERR_STATE after the end; OH_ERR_FULL; OH_ERR_HANDLE.
 *
 * Any thread, callbacks included.
 *
 * # Safety
 * The texts must be NULL or NUL-terminated strings.
 */
oh_result oh_call_rpc_answer(struct oh_call call,
                             const char *request_id,
                             const char *payload,
                             uint32_t error_code,
                             const char *error_text);

/**
 * The name of an event kind, for instance "participant_joined"; "unknown" for other numbers.
 * Static text, any thread.
 */
const char *oh_event_kind_name(int32_t kind);

/**
 * The name of a state, for instance "joined"; "unknown" for other numbers. Static text, any thread.
 */
const char *oh_state_name(int32_t state);

/**
 * The ABI version of the library that is loaded; compare with OH_ABI_VERSION, that of the header.
 * Any thread.
 */
uint32_t oh_abi_version(void);

/**
 * The version of the library that is loaded, for instance "0.1.0". Static text. Any thread.
 */
const char *oh_version(void);

/**
 * Sets, replaces or (handler NULL) removes the one log handler of the process. Without one
 * nothing is logged. Tokens, passwords and media never appear in a line.
 *
 * @param level      the least important level wanted, one of oh_log_level.
 * @param handler    see oh_log_handler; NULL removes the present one.
 * @param user_data  handed back to handler.
 * @param destroy    may be NULL. On failure it is not called: user_data stays the caller's.
 * @return           OH_OK; OH_ERR_ARGUMENT for an unknown level.
 *
 * Any thread. When it returns, the former handler does not run any more and its destroy has been
 * called, unless it was called inside that handler: then both when the handler returns.
 */
oh_result oh_log_set(int32_t level, oh_log_handler handler, void *user_data, oh_destroy destroy);

/**
 * Tells all calls of the process what the application knows of the network, for instance on a phone.
 * On Linux the library sees it by itself; telling it twice does no harm. Calls to servers on the
 * machine itself follow only the application.
 *
 * @param what  one of oh_network.
 * @return      OH_OK; OH_ERR_ARGUMENT for an unknown value.
 *
 * Any thread, callbacks included. Returns at once; state events tell what follows.
 */
oh_result oh_network_changed(int32_t what);

/**
 * Ends everything: leaves all calls (each gets its OH_EVENT_ENDED), waits for them, ends the
 * library's threads. Handles stay valid until they are freed. The library can be used again
 * afterwards; after success it can be unloaded (dlclose).
 *
 * @param timeout_ms  how long to wait, OH_FOREVER for as long as it takes; 2500 is enough for any
 *                    network, but a callback of yours that does not return is waited for. The calls leave in
 *                    the same way however short it is: what there was no time for goes on in the background,
 *                    and a second oh_shutdown_wait waits for that, too.
 * @return            OH_OK; OH_ERR_TIMEOUT when something still runs; OH_ERR_WOULD_DEADLOCK inside
 *                    a callback.
 *
 * A name look-up that hangs in the system's resolver is not waited for: its thread ends when the resolver returns,
 * and until then, and afterwards, the library's code stays in memory, also after dlclose.
 *
 * Any thread but a callback's.
 */
oh_result oh_shutdown_wait(uint32_t timeout_ms);

/**
 * Fills in the defaults; the same as OH_LIMITS_INIT, for languages without macros.
 *
 * @param limits  may be NULL: then nothing happens.
 *
 * # Safety
 * `limits` must be NULL or writable.
 */
void oh_limits_init(struct oh_limits *limits);

/**
 * Sets what all calls of the process together may use, from now on; what waits or runs already stays.
 *
 * @param limits  NULL: the defaults.
 * @return        OH_OK; OH_ERR_ARGUMENT; OH_ERR_ABI.
 *
 * Any thread, at any time.
 *
 * # Safety
 * `limits` must be NULL or point to a structure as large as its `size`.
 */
oh_result oh_limits_set(const struct oh_limits *limits);

/**
 * What the call's protocol can do.
 *
 * @param capabilities  receives the sum of oh_capability bits; bits that you do not know may be set.
 * @return              OH_OK; OH_ERR_HANDLE; OH_ERR_ARGUMENT.
 *
 * Any thread, at any time of the call.
 *
 * # Safety
 * `capabilities` must be NULL or writable.
 */
oh_result oh_call_capabilities(struct oh_call call, uint64_t *capabilities);

/**
 * Changes what this participant says of itself to the others (OH_CAP_ATTRIBUTES); asynchronous. What the
 * server refuses comes as OH_EVENT_ERROR; what it takes, as OH_EVENT_PARTICIPANT_UPDATED with `local`.
 *
 * @param name             shown to people; NULL: stays.
 * @param metadata         the application's own text; NULL: stays.
 * @param attributes_json  a JSON object whose values are texts: only these names change, "" deletes;
 *                         NULL: none changes.
 * @return                 OH_OK; OH_ERR_ARGUMENT; OH_ERR_UNSUPPORTED; OH_ERR_REFUSED without the right to (see
 *                         OH_EVENT_GRANTS); OH_ERR_STATE after the end; OH_ERR_FULL; OH_ERR_HANDLE.
 *
 * Any thread, callbacks included.
 *
 * # Safety
 * The texts must be NULL or NUL-terminated strings.
 */
oh_result oh_call_set_attributes(struct oh_call call,
                                 const char *name,
                                 const char *metadata,
                                 const char *attributes_json);

/**
 * The publisher of a call. Every call has one; the same handle each time.
 *
 * @param publisher  receives the handle; freed with the call at the latest.
 * @return           OH_OK; OH_ERR_HANDLE; OH_ERR_ARGUMENT.
 *
 * # Safety
 * `publisher` must be NULL or writable.
 */
oh_result oh_call_publisher(struct oh_call call, struct oh_publisher *publisher);

/**
 * Stops sending at once and for good while the call goes on; the tracks are over. Audio and data that were accepted
 * and not sent by now are not sent any more, and are part of OH_EVENT_UNSENT: call oh_track_drain first, or free the
 * tracks. Closing twice is fine.
 *
 * @return  OH_OK; OH_ERR_HANDLE.
 */
oh_result oh_publisher_close(struct oh_publisher publisher);

/**
 * Closes the publisher and frees its handle; the call goes on.
 *
 * @param publisher  none or stale: nothing happens.
 */
void oh_publisher_free(struct oh_publisher publisher);

/**
 * Takes the next event of a call in pull mode (a call joined without handlers), waiting for it.
 *
 * @param call        a call without handlers.
 * @param timeout_ms  how long to wait; 0: not at all; OH_FOREVER.
 * @param event       receives an event of yours, to be freed with oh_event_free.
 * @return            OH_OK; OH_ERR_EMPTY when nothing came in time; OH_ERR_CLOSED after the
 *                    terminal event, or when the call was freed meanwhile; OH_ERR_STATE when the
 *                    call has handlers, or another thread is pulling; OH_ERR_LIMIT when 65536
 *                    events are not freed.
 *
 * Any thread, one at a time.
 *
 * # Safety
 * `event` must be NULL or writable.
 */
oh_result oh_call_next_event(struct oh_call call, uint32_t timeout_ms, const struct oh_event **event);

/**
 * Frees an event that oh_call_next_event gave.
 *
 * @param event  NULL, freed already, or not a pulled event: nothing happens. The address of a freed event is
 *               not given to another one before 65536 more were pulled, so that freeing twice frees nothing
 *               else until then.
 *
 * Any thread, before or after the call was freed.
 */
void oh_event_free(const struct oh_event *event);

/**
 * A descriptor that polls readable while oh_call_next_event has something to give, for poll, epoll
 * or kqueue. It belongs to the library: do not read, write or close it; it ends with oh_call_free.
 *
 * @param call  a call without handlers.
 * @param fd    receives the descriptor.
 * @return      OH_OK; OH_ERR_STATE when the call has handlers; OH_ERR_LIMIT without descriptors.
 *
 * # Safety
 * `fd` must be NULL or writable.
 */
oh_result oh_call_wake_fd(struct oh_call call, int32_t *fd);

/**
 * The general meaning of a result, in words.
 *
 * @param result  any number; one that is not a result gives "unknown result".
 * @return        static text, never NULL. Any thread, also in a forked child.
 */
const char *oh_result_message(int32_t result);

/**
 * The name of a result as in this header, for instance "OH_ERR_HANDLE".
 *
 * @return  static text, never NULL. Any thread, also in a forked child.
 */
const char *oh_result_name(int32_t result);

/**
 * What failed last on the calling thread: what, where, and what to do. It holds no secrets. A
 * successful call does not clear it.
 *
 * @param buf  receives the text, cut to fit and always NUL-terminated; may be NULL when len is 0.
 * @param len  bytes at buf.
 * @return     bytes the whole text needs without its NUL; 0 when nothing has failed.
 *
 * # Safety
 * `buf` must be NULL or point to `len` writable bytes.
 */
size_t oh_last_error(char *buf, size_t len);

/**
 * Reads the figures of a call; works until it is freed, also when it is over.
 *
 * @param stats  its `size` must be set; as much as both sides know is filled in.
 * @return       OH_OK; OH_ERR_HANDLE; OH_ERR_ARGUMENT; OH_ERR_ABI when size is too small.
 *
 * Any thread.
 *
 * # Safety
 * `stats` must be NULL or point to as many writable bytes as its `size` says.
 */
oh_result oh_call_get_stats(struct oh_call call, struct oh_call_stats *stats);

/**
 * The subscriber of a call; the same handle each time, also when it is closed, until it is freed:
 * then OH_ERR_HANDLE from the handle, while this function still gives the (stale) handle.
 *
 * @param subscriber  receives the handle; freed with the call at the latest.
 * @return           OH_OK; OH_ERR_HANDLE; OH_ERR_ARGUMENT.
 *
 * # Safety
 * `subscriber` must be NULL or writable.
 */
oh_result oh_call_subscriber(struct oh_call call, struct oh_subscriber *subscriber);

/**
 * Fills in the defaults; the same as OH_REMOTE_TRACK_OPTIONS_INIT, for languages without macros.
 *
 * @param options  may be NULL: then nothing happens.
 *
 * # Safety
 * `options` must be NULL or writable.
 */
void oh_remote_track_options_init(struct oh_remote_track_options *options);

/**
 * Says what is wanted of one remote track (OH_CAP_SUBSCRIPTIONS); asynchronous, the last wish wins, and it is
 * kept over reconnects until the track ends. Video is not received in this version, whatever is asked.
 *
 * @param track_id  of OH_EVENT_TRACK_PUBLISHED.
 * @param options   NULL: the track, as good as it is.
 * @return          OH_OK; OH_ERR_ARGUMENT; OH_ERR_UNSUPPORTED; OH_ERR_STATE after the end; OH_ERR_FULL;
 *                  OH_ERR_HANDLE.
 *
 * Any thread, callbacks included.
 *
 * # Safety
 * `track_id` must be NULL or a NUL-terminated string; `options` must be NULL or point to a structure as
 * large as its `size`.
 */
oh_result oh_subscriber_set_track(struct oh_subscriber subscriber,
                                  const char *track_id,
                                  const struct oh_remote_track_options *options);

/**
 * Stops receiving for good while the call goes on. Sound that is queued is discarded. Offers of the
 * SFU for it are dropped without an error from now on, and counted (oh_call_stats.late_offers).
 * Closing twice is fine. A callback in progress on another thread is waited for: after it returns
 * no sound is handed over, unless called inside a callback of the same call. With OH_PROTOCOL_LIVEKIT data, texts and procedure
 * calls end with it, while offers are still answered, with nothing asked for: servers take that connection
 * for the participant's.
 *
 * @return  OH_OK; OH_ERR_HANDLE; OH_ERR_WOULD_DEADLOCK when the callback in progress itself waits for the
 *          callback that this is called in: then it is closed, but was not waited for.
 */
oh_result oh_subscriber_close(struct oh_subscriber subscriber);

/**
 * Closes the subscriber and frees its handle; the call goes on.
 *
 * @param subscriber  none or stale: nothing happens.
 */
void oh_subscriber_free(struct oh_subscriber subscriber);

/**
 * Fills in the defaults; the same as OH_ACCESS_TOKEN_OPTIONS_INIT, for languages without macros.
 *
 * @param options  may be NULL: then nothing happens.
 *
 * # Safety
 * `options` must be NULL or writable.
 */
void oh_access_token_options_init(struct oh_access_token_options *options);

/**
 * Makes an access token for OH_PROTOCOL_LIVEKIT (a JWT, RFC 7519, signed with HMAC-SHA256). Contacts
 * nobody. For servers and tests: an application on a user's machine must not hold the secret.
 *
 * @param options  api_key, api_secret, user_id and call_id are required.
 * @param buf      receives the token, NUL-terminated; nothing is written on failure.
 * @param len      bytes at buf; 2048 suffice without long metadata.
 * @return         OH_OK; OH_ERR_BUFFER when it does not fit: oh_last_error tells how long it is;
 *                 OH_ERR_ARGUMENT; OH_ERR_ABI.
 *
 * Any thread.
 *
 * # Safety
 * `options` must be NULL or point to a structure as large as its `size`, with valid texts; `buf` must be
 * NULL or point to `len` writable bytes.
 */
oh_result oh_access_token(const struct oh_access_token_options *options, char *buf, size_t len);

/**
 * Fills in the defaults; the same as OH_AUDIO_TRACK_OPTIONS_INIT, for languages without macros.
 *
 * @param options  may be NULL: then nothing happens.
 *
 * # Safety
 * `options` must be NULL or writable.
 */
void oh_audio_track_options_init(struct oh_audio_track_options *options);

/**
 * Publishes an audio track. Returns at once; OH_EVENT_LOCAL_PUBLISHED or OH_EVENT_LOCAL_FAILED
 * tells the result. May be called before the call is joined. One audio track per call at a time.
 *
 * @param call     the call.
 * @param options  NULL: mono s16 at 48000 Hz, sensible defaults.
 * @param track    receives the handle; free it with oh_track_free, or with the call.
 * @return         OH_OK; OH_ERR_ARGUMENT; OH_ERR_HANDLE; OH_ERR_STATE when the call is over; OH_ERR_REFUSED
 *                 when this participant may not send audio (before that is known, OH_EVENT_LOCAL_FAILED with the
 *                 same code); OH_ERR_CLOSED when the publisher was closed; OH_ERR_MEDIA; OH_ERR_ABI.
 *
 * # Safety
 * `options` must be NULL or point to a structure as large as its `size`; `track` must be NULL or
 * writable.
 */
oh_result oh_call_publish_audio(struct oh_call call,
                                const struct oh_audio_track_options *options,
                                struct oh_track *track);

/**
 * Writes sound as 16-bit integers. Never waits: the library sends 20 ms every 20 ms of its own
 * clock, whatever the rhythm of the writes; oh_track_wait waits for room.
 *
 * @param samples  frames * channels values, interleaved; copied.
 * @param frames   samples per channel, any number that fits the buffer (of a live track: any).
 * @return         OH_OK: all was taken; OH_ERR_FULL: nothing was taken, there is no room for all
 *                 of it now; OH_ERR_STATE for a track of Opus packets; OH_ERR_CLOSED when the track
 *                 or its call is over; OH_ERR_HANDLE; OH_ERR_ARGUMENT.
 *
 * Any thread; writers of one track should take turns.
 *
 * # Safety
 * `samples` must point to as many readable values.
 */
oh_result oh_track_write_s16(struct oh_track track, const int16_t *samples, uint32_t frames);

/**
 * Writes sound as 32-bit floats, -1.0 to 1.0; else as oh_track_write_s16.
 *
 * # Safety
 * As `oh_track_write_s16`.
 */
oh_result oh_track_write_f32(struct oh_track track, const float *samples, uint32_t frames);

/**
 * Writes one Opus packet (RFC 6716) of the application's own encoder, on a track of the format
 * OH_AUDIO_OPUS. Sent as it is, when its time has come.
 *
 * @param packet  copied.
 * @param size    1 to 1500 bytes.
 * @return        as oh_track_write_s16; OH_ERR_ARGUMENT when it is not an Opus packet.
 *
 * # Safety
 * `packet` must point to `size` readable bytes.
 */
oh_result oh_track_write_opus(struct oh_track track, const uint8_t *packet, uint32_t size);

/**
 * Waits until there is room.
 *
 * @param frames      samples per channel (of a track of Opus packets: packets).
 * @param timeout_ms  how long to wait; 0: only look; OH_FOREVER.
 * @return            OH_OK; OH_ERR_TIMEOUT; OH_ERR_CLOSED when the track or its call is over;
 *                    OH_ERR_ARGUMENT when so many never fit; OH_ERR_WOULD_DEADLOCK inside a
 *                    callback (a callback must not wait for time to pass); OH_ERR_HANDLE.
 *
 * Before the track is on the air nothing makes room.
 */
oh_result oh_track_wait(struct oh_track track, uint32_t frames, uint32_t timeout_ms);

/**
 * Waits until everything that was written has been handed to the network. What is written meanwhile is waited for as
 * well.
 *
 * @param timeout_ms  how long to wait; 0: only look; OH_FOREVER.
 * @return            OH_OK; OH_ERR_TIMEOUT; OH_ERR_CLOSED when the track or its call is over; OH_ERR_WOULD_DEADLOCK
 *                    inside a callback; OH_ERR_HANDLE.
 *
 * Before the track is on the air nothing drains. Of a muted track nothing is left to send. oh_call_leave and
 * oh_track_free drain by themselves, within a second.
 */
oh_result oh_track_drain(struct oh_track track,
                         uint32_t timeout_ms);

/**
 * Discards at once what was written and not sent yet: the others hear nothing more of it, and what is written next
 * begins anew. For an answer that is interrupted (barge-in), and before oh_track_free or oh_call_leave when the rest
 * is not to be heard.
 *
 * @param sent_ms     receives how many ms of everything written to this track have been sent since it was published;
 *                    may be NULL.
 * @param dropped_ms  receives how many ms were discarded now; may be NULL.
 * @return            OH_OK; OH_ERR_CLOSED when the track or its call is over; OH_ERR_HANDLE.
 *
 * Any thread, callbacks included.
 *
 * # Safety
 * `sent_ms` and `dropped_ms` must be NULL or writable.
 */
oh_result oh_track_clear(struct oh_track track,
                         uint64_t *sent_ms,
                         uint32_t *dropped_ms);

/**
 * How much was written and not sent yet, in ms. To wait for the end of what was said: oh_track_drain.
 *
 * @param ms  receives the number.
 * @return    OH_OK; OH_ERR_HANDLE; OH_ERR_ARGUMENT.
 *
 * # Safety
 * `ms` must be NULL or writable.
 */
oh_result oh_track_buffered_ms(struct oh_track track, uint32_t *ms);

/**
 * Mutes or unmutes. Media follows at once and what was written while muted is never sent; the
 * others are told, the last intent wins. The track keeps its place in the call.
 *
 * @param muted  non-zero: mute.
 * @return       OH_OK; OH_ERR_HANDLE; OH_ERR_STATE when the call is over.
 */
oh_result oh_track_set_muted(struct oh_track track, int32_t muted);

/**
 * Unpublishes a track and frees its handle. What was written before is still sent, in the background and within
 * oh_call_options.drain_ms; a track that is published next goes on the air after that. Call oh_track_clear first when
 * the rest is not to be heard.
 *
 * @param track  none or stale: nothing happens.
 *
 * Any thread, callbacks included; returns at once. What could not be sent in time is part of OH_EVENT_UNSENT.
 */
void oh_track_free(struct oh_track track);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

/* Defaults of the options structures, of the size that this header knows. */
#ifdef __cplusplus
static inline oh_client_options oh_client_options_default_(void) { oh_client_options o = oh_client_options(); o.size = (uint32_t)sizeof o; return o; }
static inline oh_call_options oh_call_options_default_(void) { oh_call_options o = oh_call_options(); o.size = (uint32_t)sizeof o; o.join_retries = 3; return o; }
static inline oh_audio_track_options oh_audio_track_options_default_(void) { oh_audio_track_options o = oh_audio_track_options(); o.size = (uint32_t)sizeof o; o.complexity = -1; return o; }
static inline oh_data_options oh_data_options_default_(void) { oh_data_options o = oh_data_options(); o.size = (uint32_t)sizeof o; return o; }
static inline oh_rpc_options oh_rpc_options_default_(void) { oh_rpc_options o = oh_rpc_options(); o.size = (uint32_t)sizeof o; return o; }
static inline oh_remote_track_options oh_remote_track_options_default_(void) { oh_remote_track_options o = oh_remote_track_options(); o.size = (uint32_t)sizeof o; return o; }
static inline oh_access_token_options oh_access_token_options_default_(void) { oh_access_token_options o = oh_access_token_options(); o.size = (uint32_t)sizeof o; return o; }
static inline oh_limits oh_limits_default_(void) { oh_limits o = oh_limits(); o.size = (uint32_t)sizeof o; return o; }
#define OH_CLIENT_OPTIONS_INIT oh_client_options_default_()
#define OH_CALL_OPTIONS_INIT oh_call_options_default_()
#define OH_AUDIO_TRACK_OPTIONS_INIT oh_audio_track_options_default_()
#define OH_ACCESS_TOKEN_OPTIONS_INIT oh_access_token_options_default_()
#define OH_REMOTE_TRACK_OPTIONS_INIT oh_remote_track_options_default_()
#define OH_RPC_OPTIONS_INIT oh_rpc_options_default_()
#define OH_DATA_OPTIONS_INIT oh_data_options_default_()
#define OH_LIMITS_INIT oh_limits_default_()
#else
#define OH_CLIENT_OPTIONS_INIT { .size = (uint32_t)sizeof(oh_client_options) }
#define OH_CALL_OPTIONS_INIT { .size = (uint32_t)sizeof(oh_call_options), .join_retries = 3 }
#define OH_LIMITS_INIT { .size = (uint32_t)sizeof(oh_limits) }
#define OH_DATA_OPTIONS_INIT { .size = (uint32_t)sizeof(oh_data_options) }
#define OH_RPC_OPTIONS_INIT { .size = (uint32_t)sizeof(oh_rpc_options) }
#define OH_REMOTE_TRACK_OPTIONS_INIT { .size = (uint32_t)sizeof(oh_remote_track_options) }
#define OH_ACCESS_TOKEN_OPTIONS_INIT { .size = (uint32_t)sizeof(oh_access_token_options) }
#define OH_AUDIO_TRACK_OPTIONS_INIT { .size = (uint32_t)sizeof(oh_audio_track_options), .complexity = -1 }
#endif

#endif /* OFFHOOK_H */

/*
 * offhook.h - SFU calls for any language: join, publish, subscribe, media in and out, leave.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * This header is the manual. It is generated from the sources of the library; do not edit it.
 *
 * A CALL IN FIVE STEPS
 *   oh_client_new()          how to reach the service, and as whom
 *   oh_call_join()           callbacks receive events and audio
 *   oh_call_publish_audio()  a track; oh_track_write_s16() feeds it
 *   oh_call_leave()          ends with OH_EVENT_ENDED
 *   oh_client_free()         frees what is left, in any order
 *
 * RECEIVING IN A LOOP (a call joined without handlers, with oh_call_options.pull_audio)
 *   while ((result = oh_call_wait_event(call, 1000, &event)) == OH_OK || result == OH_ERR_EMPTY) {
 *       if (result == OH_ERR_EMPTY) continue;
 *       if (event->kind == OH_EVENT_AUDIO) play(event->u.audio);
 *       oh_event_free(event);
 *   }
 *
 * HANDLES
 *   oh_client, oh_call, oh_publisher, oh_subscriber and oh_track are structures of one 64-bit number. 0 is none. A number
 *   is never used twice: a handle that is stale (freed), forged or of another kind gives OH_ERR_HANDLE, from any thread,
 *   and never crashes. Copies are the same handle. Freeing none or a stale handle does nothing. A client owns its calls; a
 *   call owns its publisher, subscriber and tracks: freeing the owner frees them.
 *
 * THREADS
 *   Every function may be called from every thread, inside callbacks too, unless it says otherwise. The callbacks of one
 *   call (events, audio) run one at a time, in order, on threads of the library that do no I/O, with no lock held. destroy
 *   runs on such a thread too, or inside the call that frees or replaces its object.
 *   Different calls run at the same time. A callback that blocks delays its own call only. Never let a C++ exception or a
 *   longjmp leave a callback.
 *   Functions do not block, except those named _wait, which take a timeout, and oh_*_free, oh_subscriber_close and
 *   oh_log_set, which wait for a callback in progress on another thread. A wait that would wait for itself, also
 *   indirectly through callbacks of other calls, returns OH_ERR_WOULD_DEADLOCK instead; a _free function, which has no
 *   result, then takes effect later.
 *
 * OWNERSHIP
 *   What you pass in is copied before the function returns. What a callback receives is valid until it returns. An event of
 *   oh_call_wait_event is yours until oh_event_free. Static texts say so.
 *   user_data is yours; the matching destroy is called exactly once, after the last callback that used it (of a call: after
 *   OH_EVENT_ENDED was delivered, or in oh_call_free, whichever is first).
 *
 * ERRORS
 *   Functions return oh_result: OH_OK (0) or a negative number. Outputs are the last parameters and are written on success
 *   only; the length that a text needs is written in any case. oh_get_last_error() has the details of the last failure on
 *   this thread. Later failures are reported by events. No text ever holds a token, a password or media.
 *
 * STRUCTURES
 *   Every structure but the handles begins with its size, and only grows at its end. Begin those that you pass in with
 *   OH_INIT(type), or with oh_struct_init() where macros are not at hand, then set what you need. Zero is the default of
 *   every member; where zero itself is meant, OH_ZERO says it.
 *   A library takes structures of an older header, with the defaults for the rest, and of a newer header as long as what it
 *   does not know is zero, else OH_ERR_ABI. It fills statistics as far as header and library both know them. Structures
 *   that the library passes to you may be longer than in your header: do not copy more of them than you know, and do not
 *   make arrays of them. Arrays hold pointers.
 *
 * TYPES
 *   Lengths and counts of things in memory are size_t: what sizeof and strlen return. Other numbers have fixed widths. A
 *   number with a unit has it in its name: _ms, _us, _s, _hz, _bps, _bytes. Truth values are oh_bool. Enumerations are
 *   32 bits wide, and a newer library may pass values that this header does not have. Text is UTF-8.
 *
 * THE PROCESS
 *   Threads start with the first call; there is no thread per call. oh_shutdown_wait() ends them; exit without it is fine
 *   as well. After fork() in a process that has used the library, every function of the child returns OH_ERR_FORKED.
 *   Signals are blocked on threads of the library, also for programs that a callback starts. The library never raises
 *   SIGPIPE, and signal handlers of the application do not run on its threads. Queues and messages are bounded. When the
 *   system has no memory left, the process is aborted. Each call has a share of the I/O threads. A call whose server sends
 *   more than that share can process is read more slowly, and its packets are lost; other calls keep their share.
 *
 * LOST CONNECTIONS
 *   A call whose connection is lost reconnects by itself: with a new socket for the same session, a new session, or another
 *   edge of the SFU while media flows over the old one. State events report it; it ends with OH_EVENT_RECONNECTED, or with
 *   OH_EVENT_ENDED after reconnect_timeout_ms (earlier: see oh_end_reason). Handles stay valid, tracks are published again
 *   in their order, muted ones muted. What is written to a track while there is no peer connection is discarded; before
 *   the first one it waits. Received audio that waits in jitter buffers is discarded when a new session is made.
 *   oh_network_report() reports what the library cannot detect.
 *
 * LATE MESSAGES
 *   An offer, a candidate, a reply or an event that arrives after its call has left, or its subscriber was closed, or from
 *   an attempt that was replaced, is dropped: no error, no effect on this or any other call. oh_call_get_stats() counts it.
 */

#ifndef OFFHOOK_H
#define OFFHOOK_H

#include <stddef.h>
#include <stdint.h>

/** The version of this header. oh_get_version() has that of the library. */
#define OH_VERSION "0.1.0"

/** The first number of the version. */
#define OH_VERSION_MAJOR 0

/** The second number of the version. */
#define OH_VERSION_MINOR 1

/** The third number of the version. */
#define OH_VERSION_PATCH 0

/** The version as a number: major * 1000000 + minor * 1000 + patch. */
#define OH_VERSION_NUMBER 1000

/** The ABI of this header: the number in the SONAME. oh_get_abi_version() has that of the library. */
#define OH_ABI_VERSION 1

/** As a timeout: no limit. */
#define OH_FOREVER UINT32_MAX

/** As an option: zero, where 0 stands for the default. */
#define OH_ZERO (UINT32_MAX - 1)

/* Functions of the library. On Windows, define OH_STATIC to link it statically. */
#if defined(_WIN32) && !defined(OH_STATIC)
# define OH_API __declspec(dllimport)
#elif defined(__GNUC__)
# define OH_API __attribute__((visibility("default")))
#else
# define OH_API
#endif

/* Enumerations: 32 bits wide in every language, and open to values of newer libraries. */
#if defined(__cplusplus)
# define OH_ENUM(name) enum name : int32_t
#elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 202311L
# define OH_ENUM(name) enum name : int32_t; typedef enum name name; enum name : int32_t
#else
# define OH_ENUM(name) typedef int32_t name; enum name
#endif

/* OH_INIT(type): the defaults of a structure, all zero and its size. oh_call_options options = OH_INIT(oh_call_options); */
#if defined(__cplusplus)
extern "C++" { template <class T> inline T oh_init_() { T structure = T(); structure.size = sizeof(T); return structure; } }
# define OH_INIT(type) oh_init_<type>()
#else
# define OH_INIT(type) { .size = sizeof(type) }
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* -------- Results -------------------------------------------------------------------------------------------------- */

/**
 * The result of a function: 0 is success, everything else a negative number. Numbers are never changed or reused; later
 * versions have more. oh_result_get_message has the general meaning, oh_get_last_error the details of the last failure
 * on the calling thread.
 */
OH_ENUM(oh_result) {
    /** Success. */
    OH_OK = 0,
    /** An argument is NULL, out of its range, not UTF-8, or does not fit the others. */
    OH_ERR_ARGUMENT = -1,
    /** The handle is none, stale (freed), forged or of another kind. Nothing happened. */
    OH_ERR_HANDLE = -2,
    /** Not possible in the present state (for instance: the call is over). */
    OH_ERR_STATE = -3,
    /** The object was closed by the application, or has ended. */
    OH_ERR_CLOSED = -4,
    /** A bounded queue is full; nothing was taken. Try again later. */
    OH_ERR_FULL = -5,
    /** The timeout expired. */
    OH_ERR_TIMEOUT = -6,
    /** Waiting here would wait for itself: a `_wait` function inside a callback of the same call. */
    OH_ERR_WOULD_DEADLOCK = -7,
    /** Not supported by this build, protocol or call. */
    OH_ERR_UNSUPPORTED = -8,
    /** A server could not be reached, or the connection was lost. */
    OH_ERR_NETWORK = -9,
    /** TLS failed: certificate, name or version. */
    OH_ERR_TLS = -10,
    /**
     * The server refused (the event or oh_get_last_error has its own code and text), or the participant lacks the right.
     */
    OH_ERR_REFUSED = -11,
    /** The server's answer is not valid. */
    OH_ERR_PROTOCOL = -12,
    /** The token is missing, expired or not accepted. */
    OH_ERR_AUTH = -13,
    /** The application left, freed or shut down meanwhile. */
    OH_ERR_CANCELLED = -14,
    /** A limit of the system (descriptors, threads, memory) or of the configuration was reached. */
    OH_ERR_LIMIT = -15,
    /**
     * Plain http or ws to an address that is not loopback, or a host that a server must not name; see
     * oh_client_options.allow_insecure and allow_other_hosts.
     */
    OH_ERR_INSECURE = -16,
    /** This process was forked from one that uses the library; only exec may follow. */
    OH_ERR_FORKED = -17,
    /** A codec or the WebRTC engine failed. */
    OH_ERR_MEDIA = -18,
    /** A defect of the library, contained to one object. Please report it. */
    OH_ERR_INTERNAL = -19,
    /**
     * A structure's `size` is wrong, or it sets members that this library does not have: header and library differ.
     * oh_get_last_error names the structure.
     */
    OH_ERR_ABI = -20,
    /** Nothing is available right now. */
    OH_ERR_EMPTY = -21,
    /** The buffer given is too small. */
    OH_ERR_BUFFER = -22,
};

/**
 * The general meaning of a result, in words.
 *
 * @param result  any number.
 * @return        static text, never NULL; "unknown result" for numbers that are none. Any thread, also in a forked
 *                child.
 */
OH_API const char *oh_result_get_message(oh_result result);

/**
 * The name of a result as in this header, for instance "OH_ERR_HANDLE".
 *
 * @param result  any number.
 * @return        static text, never NULL; "unknown result" for numbers that are none. Any thread, also in a forked
 *                child.
 */
OH_API const char *oh_result_get_name(oh_result result);

/**
 * Gets the details of the last failure on the calling thread: what failed, where, and what to do. It holds no secrets.
 * A successful call does not clear it.
 *
 * @param buf       receives the text, cut to fit and always NUL-terminated; may be NULL when buf_size is 0.
 * @param buf_size  bytes at buf.
 * @return          length of the complete text without its NUL; 0 when nothing has failed.
 */
OH_API size_t oh_get_last_error(char *buf, size_t buf_size);

/* -------- Basics --------------------------------------------------------------------------------------------------- */

/**
 * A truth value: 0 is false, everything else is true. The library writes 0 or 1.
 */
typedef uint32_t oh_bool;

/**
 * Releases what `user_data` points to. Called exactly once, after the last callback that used it.
 */
typedef void (*oh_destroy)(void *user_data);

/**
 * Makes a structure its defaults: all zero, and its size. The same as OH_INIT, for languages without macros.
 *
 * @param structure  any structure of this header that begins with `size`; NULL: nothing happens.
 * @param size       its size in the caller's header; fewer bytes than the member `size` has: nothing happens.
 */
OH_API void oh_struct_init(void *structure, size_t size);

/* -------- Handles -------------------------------------------------------------------------------------------------- */

/**
 * A client: configuration, credentials and connections to the service. Calls are joined with it.
 */
typedef struct oh_client {
    /** Never used twice; 0: none. */
    uint64_t id;
} oh_client;

/**
 * A call: the presence of the local participant, from oh_call_join to oh_call_free.
 */
typedef struct oh_call {
    /** Never used twice; 0: none. */
    uint64_t id;
} oh_call;

/**
 * A local track: published by the local participant.
 */
typedef struct oh_track {
    /** Never used twice; 0: none. */
    uint64_t id;
} oh_track;

/**
 * What the local participant sends in a call; its tracks are oh_track.
 */
typedef struct oh_publisher {
    /** Never used twice; 0: none. */
    uint64_t id;
} oh_publisher;

/**
 * What the local participant receives in a call. It can be closed or freed on its own, for instance by a bot that only
 * publishes.
 */
typedef struct oh_subscriber {
    /** Never used twice; 0: none. */
    uint64_t id;
} oh_subscriber;

/* -------- The library ---------------------------------------------------------------------------------------------- */

/**
 * Levels of log lines, most important first.
 */
OH_ENUM(oh_log_level) {
    /** Nothing is logged. */
    OH_LOG_OFF = 0,
    /** A defect of the library, contained to one object. */
    OH_LOG_ERROR = 1,
    /** A failure in a call, as reported by OH_EVENT_ERROR and OH_EVENT_LOCAL_TRACK_FAILED. */
    OH_LOG_WARN = 2,
    /** States and ends of calls; ICE servers that gave no address; changes of the network. */
    OH_LOG_INFO = 3,
    /** Details, and what was dropped because it came late. */
    OH_LOG_DEBUG = 4,
    /** Every message. */
    OH_LOG_TRACE = 5,
};

/**
 * A change of the machine's network.
 */
OH_ENUM(oh_network_change) {
    /**
     * There is no network: calls stop retrying and wait, in OH_STATE_OFFLINE, reconnect_timeout_ms at most. Calls that
     * have not joined yet ignore every change.
     */
    OH_NETWORK_OFFLINE = 1,
    /** It is back: calls that wait reconnect at once. Ignored by calls that do not wait. */
    OH_NETWORK_ONLINE = 2,
    /** It is another one (other addresses): calls reconnect with a new session (OH_RECONNECT_REJOIN). */
    OH_NETWORK_CHANGED = 3,
};

/**
 * A log line.
 */
typedef struct oh_log_record {
    /** sizeof(oh_log_record) in the library. */
    size_t size;
    /** The line: UTF-8, no newline, no secrets; the message is cut to 1024 bytes. */
    const char *text;
    /** Its level. */
    oh_log_level level;
    /** Zero. */
    uint32_t reserved;
} oh_log_record;

/**
 * Called with each log line.
 *
 * @param user_data  as given to oh_log_set.
 * @param record     valid until the handler returns.
 *
 * Runs on a callback thread, one line at a time. When it is too slow, lines are dropped, and the number dropped is
 * logged. Calls are unaffected. It may use the library.
 */
typedef void (*oh_log_handler)(void *user_data, const oh_log_record *record);

/**
 * What all calls of the process together may use. Begin with OH_INIT(oh_limits).
 */
typedef struct oh_limits {
    /** sizeof(oh_limits). */
    size_t size;
    /**
     * Bytes of payload in events and of audio that wait for the application at most, all calls together, 1048576 to
     * 1099511627776; 0: 268435456. Beyond it events and audio are dropped as beyond
     * oh_call_options.max_queued_event_bytes (a call with at most 65536 waiting bytes is not affected), and oh_call_join
     * returns OH_ERR_LIMIT. Reliable data counts, and is limited by its call alone.
     */
    size_t max_queued_bytes;
    /**
     * Threads for callbacks at most, 8 to 65536; 0: 512. There are two, and more only while callbacks run longer
     * than 10 ms or wait longer than 50 ms. When all of
     * them block, callbacks of other calls wait. Calls whose last callback returned within 100 ms go on, on four more
     * threads (replaced, up to a quarter of max_callback_threads, when they block as well).
     */
    uint32_t max_callback_threads;
    /** Zero. */
    uint32_t reserved;
} oh_limits;

/**
 * The ABI of the library that is loaded; compare it with OH_ABI_VERSION, that of the header. Any thread.
 */
OH_API uint32_t oh_get_abi_version(void);

/**
 * The version of the library that is loaded as a number; compare it with OH_VERSION_NUMBER. Any thread.
 */
OH_API uint32_t oh_get_version_number(void);

/**
 * The version of the library that is loaded, for instance "0.1.0". Static text. Any thread.
 */
OH_API const char *oh_get_version(void);

/**
 * Sets, replaces or removes the log handler of the process. Without one nothing is logged. Tokens, passwords and media
 * never appear in a line.
 *
 * @param level      the least important level to log.
 * @param handler    see oh_log_handler; NULL removes the present one; user_data and destroy are then
 *                   ignored.
 * @param user_data  passed to handler.
 * @param destroy    called once after the last use of user_data; may be NULL. Not called on failure: user_data then
 *                   stays the caller's.
 * @return           OH_OK; OH_ERR_ARGUMENT for an unknown level.
 *
 * Any thread. When it returns, the former handler does not run any more and its destroy has been called; inside the
 * former handler: both happen when that handler returns.
 */
OH_API oh_result oh_log_set(oh_log_level level, oh_log_handler handler, void *user_data, oh_destroy destroy);

/**
 * Reports a change of the network to all calls of the process, for instance on a phone. On Linux the library detects it
 * by itself; reporting it as well does no harm. Calls to servers on this machine follow only the application.
 *
 * @param change  what changed.
 * @return        OH_OK; OH_ERR_ARGUMENT for an unknown value.
 *
 * Any thread, callbacks included. Returns at once; state events report what follows.
 */
OH_API oh_result oh_network_report(oh_network_change change);

/**
 * Shuts the library down: leaves all calls (each gets its OH_EVENT_ENDED), waits for them, ends the library's threads.
 * Calls end at once, without sending what waits: OH_EVENT_UNSENT reports it. To send it, leave the calls first. Handles
 * stay valid until they are freed. The library can be used again afterwards; after success it can be unloaded (dlclose).
 *
 * @param timeout_ms  how long to wait; OH_FOREVER: no limit. 2500 is enough for any network, but a callback of yours
 *                    that does not return is waited for. However short it is, the calls leave in the same way: what did
 *                    not finish in time continues in the background, and a second oh_shutdown_wait waits for that.
 * @return            OH_OK; OH_ERR_TIMEOUT when something still runs; OH_ERR_WOULD_DEADLOCK inside a callback.
 *
 * A name look-up that blocks in the system's resolver is not waited for: its thread ends when the resolver returns, and
 * the library's code then stays in memory for good, also after dlclose.
 *
 * Any thread but a callback's.
 */
OH_API oh_result oh_shutdown_wait(uint32_t timeout_ms);

/**
 * Sets what all calls of the process together may use, from now on. What waits or runs already stays.
 *
 * @param limits  NULL: the defaults.
 * @return        OH_OK; OH_ERR_ARGUMENT; OH_ERR_ABI.
 *
 * Any thread, at any time.
 */
OH_API oh_result oh_limits_set(const oh_limits *limits);

/* -------- Participants and their tracks ---------------------------------------------------------------------------- */

/**
 * What a track carries, and from where.
 */
OH_ENUM(oh_track_source) {
    /** Not known; data and texts have no source. */
    OH_SOURCE_UNKNOWN = 0,
    /** Audio of a microphone. */
    OH_SOURCE_MICROPHONE = 1,
    /** Video of a camera. */
    OH_SOURCE_CAMERA = 2,
    /** Video of a shared screen. */
    OH_SOURCE_SCREEN_SHARE = 3,
    /** Audio of a shared screen. */
    OH_SOURCE_SCREEN_SHARE_AUDIO = 4,
};

/**
 * What kind of participant it is.
 */
OH_ENUM(oh_participant_kind) {
    /** A person with a client, or a program that joined as one. */
    OH_PARTICIPANT_STANDARD = 0,
    /** A stream that is ingested into the call (RTMP, WHIP). */
    OH_PARTICIPANT_INGRESS = 1,
    /** A recording or a stream of the call. */
    OH_PARTICIPANT_EGRESS = 2,
    /** A telephone (SIP). */
    OH_PARTICIPANT_SIP = 3,
    /** An agent: a program that acts by itself. */
    OH_PARTICIPANT_AGENT = 4,
    /** Records the call. */
    OH_PARTICIPANT_RECORDER = 5,
    /** Of a kind that this version does not know. */
    OH_PARTICIPANT_OTHER = 6,
};

/**
 * Why a participant left.
 */
OH_ENUM(oh_leave_reason) {
    /** It has not left, or the server did not say. */
    OH_LEAVE_UNKNOWN = 0,
    /** It left by itself. */
    OH_LEAVE_CLIENT = 1,
    /** Another client joined as the same participant. */
    OH_LEAVE_REPLACED = 2,
    /** Its server shut down. */
    OH_LEAVE_SERVER_SHUTDOWN = 3,
    /** It was removed. */
    OH_LEAVE_REMOVED = 4,
    /** The room was deleted. */
    OH_LEAVE_ROOM_DELETED = 5,
    /** Server and client disagreed about its session. */
    OH_LEAVE_STATE_MISMATCH = 6,
    /** Its join failed. */
    OH_LEAVE_JOIN_FAILURE = 7,
    /** It moved to another server. */
    OH_LEAVE_MIGRATION = 8,
    /** Its signalling connection was lost. */
    OH_LEAVE_SIGNAL_CLOSE = 9,
    /** The room was closed. */
    OH_LEAVE_ROOM_CLOSED = 10,
    /** SIP: the callee did not answer. */
    OH_LEAVE_USER_UNAVAILABLE = 11,
    /** SIP: the callee declined. */
    OH_LEAVE_USER_REJECTED = 12,
    /** SIP: the trunk failed. */
    OH_LEAVE_SIP_TRUNK_FAILURE = 13,
    /** Its connection timed out. */
    OH_LEAVE_CONNECTION_TIMEOUT = 14,
    /** Its media failed. */
    OH_LEAVE_MEDIA_FAILURE = 15,
    /** The agent failed. */
    OH_LEAVE_AGENT_ERROR = 16,
};

/**
 * What a participant may do, and two marks; bits of oh_rights.
 */
OH_ENUM(oh_right) {
    /** May publish audio of a microphone. */
    OH_RIGHT_AUDIO = 1,
    /** May publish video of a camera. */
    OH_RIGHT_VIDEO = 2,
    /** May publish a screen and its audio. */
    OH_RIGHT_SCREEN_SHARE = 4,
    /** May send data, texts and procedure calls. */
    OH_RIGHT_DATA = 8,
    /** May receive tracks. */
    OH_RIGHT_SUBSCRIBE = 16,
    /** May change its own name, metadata and attributes (oh_call_set_attributes). */
    OH_RIGHT_SET_ATTRIBUTES = 32,
    /** No right: the participant is not visible to others. */
    OH_RIGHT_HIDDEN = 64,
    /** No right: the participant records the call. */
    OH_RIGHT_RECORDER = 128,
};

/**
 * Why received media or data cannot be decoded.
 */
OH_ENUM(oh_unplayable_reason) {
    /** It can, as far as is known. */
    OH_UNPLAYABLE_NONE = 0,
    /** The track is encrypted end to end. */
    OH_UNPLAYABLE_ENCRYPTED = 1,
    /** Its codec is not supported. */
    OH_UNPLAYABLE_CODEC = 2,
    /** The stream cannot be assigned to a track of a participant. */
    OH_UNPLAYABLE_UNASSIGNED = 3,
    /** Its payload type was not negotiated. */
    OH_UNPLAYABLE_PAYLOAD_TYPE = 4,
    /** Data or a text is encrypted end to end. */
    OH_UNPLAYABLE_DATA_ENCRYPTED = 5,
};

/**
 * How well a participant is connected, as measured by the SFU.
 */
OH_ENUM(oh_connection_quality) {
    /** Not measured. */
    OH_QUALITY_UNKNOWN = 0,
    /** Media is impaired. */
    OH_QUALITY_POOR = 1,
    /** Some loss or delay. */
    OH_QUALITY_GOOD = 2,
    /** No impairment. */
    OH_QUALITY_EXCELLENT = 3,
    /** The SFU receives nothing from the participant. */
    OH_QUALITY_LOST = 4,
};

/**
 * Why a track ended or was muted.
 */
OH_ENUM(oh_unpublish_cause) {
    /** The server did not say. */
    OH_UNPUBLISH_UNKNOWN = 0,
    /** Its participant muted it. */
    OH_UNPUBLISH_MUTED = 1,
    /** Its participant lost the right to publish it. */
    OH_UNPUBLISH_PERMISSION_REVOKED = 2,
    /** A moderator muted or removed it. */
    OH_UNPUBLISH_MODERATION = 3,
};

/**
 * A track that a participant publishes.
 */
typedef struct oh_track_info {
    /** sizeof(oh_track_info) in the library. */
    size_t size;
    /** The user id of its participant. */
    const char *user_id;
    /** The session id of its participant. */
    const char *session_id;
    /** The SFU's id of the track, for oh_subscriber_set_track; "" in protocols without one. */
    const char *track_id;
    /** The name that its publisher gave it; may be "". */
    const char *name;
    /** The handle, of a local track in a snapshot; else none. */
    oh_track track;
    /** What it carries. */
    oh_track_source source;
    /** OH_EVENT_TRACK_UNPUBLISHED: why; else OH_UNPUBLISH_UNKNOWN. */
    oh_unpublish_cause cause;
    /** Published, and muted: a snapshot, and OH_EVENT_TRACK_UNPUBLISHED with OH_UNPUBLISH_MUTED. */
    oh_bool muted;
    /** A track of the local participant (in an event: that a moderator changed). */
    oh_bool local;
    /**
     * A moderator unmuted it, and it stays muted until oh_track_set_muted unmutes it: with
     * oh_call_options.hold_unmute, and when the application itself had muted it. Only in OH_EVENT_TRACK_PUBLISHED.
     */
    oh_bool held;
    /** Encrypted end to end. */
    oh_bool encrypted;
    /** Snapshot, remote track: its media arrives and can be played. */
    oh_bool received;
    /** Snapshot, remote track: why its media cannot be played, an oh_unplayable_reason; else OH_UNPLAYABLE_NONE. */
    oh_unplayable_reason unplayable;
    /** Snapshot, local track: it is published over the present connection; packets can be sent. */
    oh_bool published;
    /** Snapshot, local track: a moderator muted it. */
    oh_bool moderated;
} oh_track_info;

/**
 * A set of oh_right: the sum of its bits. Bits that you do not know may be set.
 */
typedef uint64_t oh_rights;

/**
 * A participant, as last described by the SFU.
 */
typedef struct oh_participant {
    /** sizeof(oh_participant) in the library. */
    size_t size;
    /** The user id. One user can be in a call more than once (not with OH_PROTOCOL_LIVEKIT). */
    const char *user_id;
    /** Identifies the participant in this call. */
    const char *session_id;
    /** The display name; may be "". */
    const char *name;
    /** URL of a picture; may be "". */
    const char *image_url;
    /** Custom data as a JSON object; may be "". */
    const char *custom_json;
    /** The application's own text about the participant; may be "" (OH_CAP_ATTRIBUTES). */
    const char *metadata;
    /** Names and values as a JSON object of strings; may be "" (OH_CAP_ATTRIBUTES). */
    const char *attributes_json;
    /**
     * Its tracks: `track_count` pointers; NULL when track_count is 0. None in OH_EVENT_PARTICIPANT_JOINED:
     * OH_EVENT_TRACK_PUBLISHED follows for each. With OH_PROTOCOL_STREAM the SFU reports a track of
     * another participant that is muted as ended: it is not among them until it is published again.
     */
    const oh_track_info *const *tracks;
    /** Number of tracks. */
    size_t track_count;
    /** Its rights, when rights_known. */
    oh_rights rights;
    /** The protocol reports the rights of participants; else rights is 0. */
    oh_bool rights_known;
    /** What kind of participant it is. */
    oh_participant_kind kind;
    /** How well it is connected. */
    oh_connection_quality quality;
    /** OH_EVENT_PARTICIPANT_LEFT: why; else OH_LEAVE_UNKNOWN. */
    oh_leave_reason leave_reason;
    /** Its audio level, 0.0 (silence) to 1.0. */
    float audio_level;
    /** Speaks now. */
    oh_bool speaking;
    /** The dominant speaker. */
    oh_bool dominant;
    /** The local participant. */
    oh_bool local;
} oh_participant;

/**
 * A pinned participant.
 */
typedef struct oh_pin {
    /** sizeof(oh_pin) in the library. */
    size_t size;
    /** The user id. */
    const char *user_id;
    /** The session id. */
    const char *session_id;
} oh_pin;

/**
 * A snapshot of the participants of a call; see oh_call_get_participants.
 */
typedef struct oh_participants {
    /** sizeof(oh_participants) in the library. */
    size_t size;
    /** `participant_count` pointers, the local participant first; NULL when participant_count is 0. */
    const oh_participant *const *participants;
    /** Number of participants. */
    size_t participant_count;
} oh_participants;

/* -------- Received audio ------------------------------------------------------------------------------------------- */

/**
 * Format of audio.
 */
OH_ENUM(oh_audio_format) {
    /** Interleaved 16-bit integers in the machine's byte order. */
    OH_AUDIO_S16 = 0,
    /** Interleaved 32-bit floats, -1.0 to 1.0. */
    OH_AUDIO_F32 = 1,
    /** Opus packets (RFC 6716), 48 kHz clock. */
    OH_AUDIO_OPUS = 2,
};

/**
 * Audio of one track: 20 ms, or one Opus packet. Everything it points to is valid until the callback returns (of a
 * pulled event: until oh_event_free).
 */
typedef struct oh_audio_frame {
    /** sizeof(oh_audio_frame) in the library. */
    size_t size;
    /** The user id of the participant. */
    const char *user_id;
    /** The session id of the participant; one user can be in a call more than once. */
    const char *session_id;
    /** The track, as in oh_track_info; "" in protocols without track ids. */
    const char *track_id;
    /** OH_AUDIO_S16: frames * channels samples; else NULL. */
    const int16_t *samples_s16;
    /** OH_AUDIO_F32: frames * channels samples; else NULL. */
    const float *samples_f32;
    /** OH_AUDIO_OPUS: opus_packet_size bytes; else NULL. */
    const uint8_t *opus_packet;
    /** Bytes at opus_packet; 0 for other formats. */
    size_t opus_packet_size;
    /**
     * Samples per channel, 20 ms; 0 for OH_AUDIO_OPUS. Alternates by one where 20 ms are no whole number of samples.
     */
    size_t frames;
    /**
     * When the first sample was captured: microseconds since 1970 by the clock of the sender, which is the same for all
     * tracks of a participant; 0: the sender has not reported it (yet). Compare it with tracks of the same participant
     * only: clocks of different machines differ.
     */
    int64_t capture_time_us;
    /**
     * When the packet of the first sample arrived: microseconds since oh_call_join was called, by the clock of this
     * machine, as oh_event.at_ms; 0: it was in no packet (concealed, silence). It aligns tracks of different
     * participants.
     */
    int64_t arrival_time_us;
    /**
     * RTP timestamp of the first sample, 48 kHz; wraps around. It counts samples of the sender. When the jitter buffer
     * grows, a timestamp repeats; when it shrinks, some are skipped; after silence it may go back. It starts anew with
     * another stream (reconnects of the sender).
     */
    uint32_t rtp_timestamp;
    /** Which of samples_s16, samples_f32 and opus_packet is set. */
    oh_audio_format format;
    /** Samples per second and channel, as set in oh_call_options. */
    uint32_t sample_rate_hz;
    /** Channels, as set in oh_call_options. */
    uint32_t channels;
    /** What the track carries. */
    oh_track_source source;
    /** Audio level, 0.0 (silence) to 1.0; 0 for OH_AUDIO_OPUS. */
    float level;
    /**
     * Synthesised by packet-loss concealment (OH_AUDIO_OPUS: packets before this one were lost). Also at the beginning
     * of a pause of the sender, before it is known that nothing was lost.
     */
    oh_bool concealed;
    /** The sender sent nothing (muted, or discontinuous transmission); the samples are zero, or fade to zero. */
    oh_bool silence;
} oh_audio_frame;

/**
 * Called with 20 ms of one track's audio, for every track that is received.
 *
 * A track begins with its first packet. 500 ms after the last one it pauses: no frames until packets arrive again.
 * To record tracks side by side, write each frame at its place by arrival_time_us, or by capture_time_us among the
 * tracks of one participant, advance by `frames`, and fill gaps with silence.
 *
 * @param user_data  as in oh_call_handlers.
 * @param call       the call.
 * @param frame      valid until the handler returns.
 *
 * Runs on a callback thread; the callbacks of one call run one at a time. When the handler is too slow, the oldest
 * frames are dropped and counted (oh_call_stats.audio_frames_dropped); other calls are not delayed.
 */
typedef void (*oh_audio_handler)(void *user_data, oh_call call, const oh_audio_frame *frame);

/* -------- Events --------------------------------------------------------------------------------------------------- */

/**
 * The state of a call.
 */
OH_ENUM(oh_call_state) {
    /** Not started: between oh_call_join and the first attempt. */
    OH_STATE_IDLE = 0,
    /** Joining: admission, signalling, peer connections. */
    OH_STATE_JOINING = 1,
    /** Joined: the SFU admitted this participant. Media flows after OH_EVENT_MEDIA. */
    OH_STATE_JOINED = 2,
    /** Connection lost; reconnecting. */
    OH_STATE_RECONNECTING = 3,
    /** The SFU moves this participant to another edge; media flows over the old one until then. */
    OH_STATE_MIGRATING = 4,
    /** The machine has no network; the call waits for it. */
    OH_STATE_OFFLINE = 5,
    /** Reconnecting failed; OH_STATE_LEFT follows at once. */
    OH_STATE_RECONNECTING_FAILED = 6,
    /** Over; nothing follows but OH_EVENT_ENDED. */
    OH_STATE_LEFT = 7,
};

/**
 * Why a call ended.
 */
OH_ENUM(oh_end_reason) {
    /** The application left or freed the call. */
    OH_END_LEFT = 0,
    /** The call was ended for everybody. */
    OH_END_CALL_ENDED = 1,
    /** The livestream or session in it ended. */
    OH_END_SESSION_ENDED = 2,
    /** This participant was removed. */
    OH_END_KICKED = 3,
    /** The join failed; see error, server_code and text. */
    OH_END_JOIN_FAILED = 4,
    /** The connection was lost, and reconnecting failed. */
    OH_END_CONNECTION_LOST = 5,
    /** The SFU disconnected this client. */
    OH_END_DISCONNECTED = 6,
    /** oh_shutdown_wait. */
    OH_END_SHUTDOWN = 7,
    /** A defect of the library, contained to this call. */
    OH_END_INTERNAL = 8,
    /**
     * More than ten attempts within two minutes to reconnect with a new session or another edge, failed ones included.
     * Also before reconnect_timeout_ms has passed.
     */
    OH_END_RECONNECT_LIMIT = 9,
    /** Offers of the SFU could not be answered, in three consecutive sessions. */
    OH_END_NEGOTIATION_FAILED = 10,
    /**
     * Peer connections cannot be established on this network; `text` has what was tried and found: candidates and
     * pairs by type, TURN servers without a relay, whether anything was received.
     */
    OH_END_NETWORK_UNSUPPORTED = 11,
    /** A reconnect was refused: the token has expired, the call is gone, or access was denied. */
    OH_END_RECONNECT_REFUSED = 12,
    /** Another client joined as this participant. */
    OH_END_REPLACED = 13,
};

/**
 * Kind of an event: which member of oh_event.u is set. Later versions have more: skip the kinds that you do not know.
 */
OH_ENUM(oh_event_kind) {
    /** `state`: the call is in another state. */
    OH_EVENT_STATE = 1,
    /**
     * `joined`: the SFU admitted this participant; peer connections are being made. Media of a direction flows once
     * OH_EVENT_MEDIA says that it is connected.
     */
    OH_EVENT_JOINED = 2,
    /** No member: a token is needed. Answer with oh_call_provide_token within 30 s. */
    OH_EVENT_TOKEN_NEEDED = 3,
    /**
     * `participant`: a participant joined. On join, sent once for everyone already present. At most 10000 participants
     * with 256 tracks each and 16 MiB in all are kept; OH_EVENT_ERROR (OH_ERR_LIMIT) reports once that there are more. Where one identity is in a
     * call only once (OH_PROTOCOL_LIVEKIT), OH_EVENT_PARTICIPANT_LEFT of the replaced session comes before.
     */
    OH_EVENT_PARTICIPANT_JOINED = 4,
    /**
     * `participant`: a participant changed. With `local`: the local participant, once after each join (as the token
     * describes it) and whenever the server changes it.
     */
    OH_EVENT_PARTICIPANT_UPDATED = 5,
    /**
     * `participant`: a participant left; see leave_reason. Also sent for those who left while the connection was lost.
     * OH_EVENT_TRACK_UNPUBLISHED of their tracks came before, and procedure calls to them have failed.
     */
    OH_EVENT_PARTICIPANT_LEFT = 6,
    /**
     * `track`: a participant published a track, muted or not: once, and again each time it is unmuted. On join, also
     * sent for the tracks of everyone already present. With OH_PROTOCOL_STREAM a participant has one track of each
     * source: further ones of the same source are not distinguished. With `local`: a moderator unmuted a local track.
     * Packets of that local track are sent only after this event was delivered: when the callback has returned, or the
     * pulled event was freed.
     */
    OH_EVENT_TRACK_PUBLISHED = 7,
    /**
     * `track`: a track ended, or was muted (`muted` is true, cause OH_UNPUBLISH_MUTED): then it still exists, and its
     * end is sent as well (not with OH_PROTOCOL_STREAM). With `local`: a moderator muted a local track. All audio of the track is delivered before
     * this event, none after it until the track is published again.
     */
    OH_EVENT_TRACK_UNPUBLISHED = 8,
    /** `audio_level`: how loud a participant is. */
    OH_EVENT_AUDIO_LEVEL = 9,
    /** `dominant_speaker`: another participant speaks most. */
    OH_EVENT_DOMINANT_SPEAKER = 10,
    /** `connection_quality`: how well a participant is connected. */
    OH_EVENT_CONNECTION_QUALITY = 11,
    /** `counts`: the number of participants. */
    OH_EVENT_COUNTS = 12,
    /**
     * `rights`: what the local participant may do, on join (OH_PROTOCOL_STREAM: only when a right is missing; before,
     * everything is allowed) and whenever it changes. From then on, functions whose right
     * is missing return OH_ERR_REFUSED.
     */
    OH_EVENT_RIGHTS = 13,
    /** `pins`: the pinned participants. */
    OH_EVENT_PINS = 14,
    /**
     * `local_track`: local track published; once. Reconnects publish it again without this event, or report
     * OH_EVENT_LOCAL_TRACK_FAILED.
     */
    OH_EVENT_LOCAL_TRACK_PUBLISHED = 15,
    /** `local_track`: a local track could not be published, or is not published any more. */
    OH_EVENT_LOCAL_TRACK_FAILED = 16,
    /** `error`: something failed that does not end the call. */
    OH_EVENT_ERROR = 17,
    /**
     * `lost`: events are missing here, because the application did not take them in time. Packets and texts of
     * participants wait for the application without being dropped; they are missing when a connection ended before
     * they were taken, or when a text was never completed. Lossy packets are dropped when there is no room, and counted
     * in oh_call_stats.data_dropped only.
     */
    OH_EVENT_LOST = 18,
    /** `audio`: audio of a track; in pull mode only (else see oh_audio_handler). */
    OH_EVENT_AUDIO = 19,
    /** `ended`: the call is over. Exactly one, the last event of a call. */
    OH_EVENT_ENDED = 20,
    /** `reconnected`: the connection was lost and is made again; state JOINED came just before. */
    OH_EVENT_RECONNECTED = 21,
    /**
     * `custom`: custom event from a participant or your backend. Your own are echoed. Only with
     * oh_client_options.receive_custom_events. Can come before OH_EVENT_JOINED.
     */
    OH_EVENT_CUSTOM = 22,
    /** `room`: the room, on join and when it changed (OH_CAP_ROOM). */
    OH_EVENT_ROOM = 23,
    /** `data`: a packet from a participant, or from the application's server (OH_CAP_DATA). */
    OH_EVENT_DATA = 24,
    /** `text`: a complete text from a participant (OH_CAP_TEXT). */
    OH_EVENT_TEXT = 25,
    /** `rpc_request`: a participant calls a procedure; answer with oh_call_answer_rpc (OH_CAP_RPC). */
    OH_EVENT_RPC_REQUEST = 26,
    /** `rpc_response`: result of oh_call_perform_rpc; exactly one for each, before OH_EVENT_ENDED at the latest. */
    OH_EVENT_RPC_RESPONSE = 27,
    /** `subscription_permission`: permission to subscribe to a track was revoked or restored (OH_CAP_SUBSCRIPTIONS). */
    OH_EVENT_SUBSCRIPTION_PERMISSION = 28,
    /**
     * `media`: media of one direction was connected, or lost; once for each change. Sending is connected when something
     * is published (a track, or data), receiving when the SFU has something to send, or at the join; where the SFU uses
     * one peer connection for both directions (OH_PROTOCOL_LIVEKIT), both at the join. A direction that the application
     * closes is not reported as lost, and the end of the call is OH_EVENT_ENDED.
     */
    OH_EVENT_MEDIA = 29,
    /**
     * `unsent`: the call ended before everything that was accepted could be sent; before OH_EVENT_ENDED, at most once.
     */
    OH_EVENT_UNSENT = 30,
    /**
     * `unplayable`: media or data of a participant cannot be decoded; once for each track (data: participant) and
     * reason, and again after an unmute.
     */
    OH_EVENT_UNPLAYABLE = 31,
    /**
     * `text_part`: a part of a text that is still arriving; only with oh_call_options.text_parts. The complete text
     * follows as OH_EVENT_TEXT, or OH_EVENT_LOST counts it.
     */
    OH_EVENT_TEXT_PART = 32,
    /** `dtmf`: a participant (SIP) pressed a key of the telephone. */
    OH_EVENT_DTMF = 33,
    /**
     * `ice_server`: a STUN or TURN server gave no address: it was not reached, or refused. Once for each server and
     * code in a call, for sending and receiving together. The call goes on with the addresses that it has; whether
     * media flows is OH_EVENT_MEDIA.
     */
    OH_EVENT_ICE_SERVER = 34,
};

/**
 * How a lost connection was made again.
 */
OH_ENUM(oh_reconnect_kind) {
    /** A new socket for the same session; the peer connections were kept. */
    OH_RECONNECT_FAST = 2,
    /** A new session; local tracks were published again. */
    OH_RECONNECT_REJOIN = 3,
    /** Another edge of the SFU; media flowed over the old one until then. */
    OH_RECONNECT_MIGRATE = 4,
};

/**
 * Direction of media, seen from the local participant.
 */
OH_ENUM(oh_direction) {
    /** Published media. */
    OH_DIRECTION_SEND = 1,
    /** Received media. */
    OH_DIRECTION_RECEIVE = 2,
};

/**
 * OH_EVENT_STATE: the state of the call changed.
 */
typedef struct oh_event_state {
    /** sizeof(oh_event_state) in the library. */
    size_t size;
    /** The state now. */
    oh_call_state state;
    /** The state before. */
    oh_call_state previous;
} oh_event_state;

/**
 * OH_EVENT_JOINED: the call is joined.
 */
typedef struct oh_event_joined {
    /** sizeof(oh_event_joined) in the library. */
    size_t size;
    /** The session id of the local participant. */
    const char *session_id;
    /** Milliseconds since oh_call_join. */
    uint64_t join_ms;
    /** Participants in the call, the local one and anonymous ones included. */
    uint32_t participants;
    /** Anonymous participants: counted, not listed. */
    uint32_t anonymous_participants;
} oh_event_joined;

/**
 * OH_EVENT_AUDIO_LEVEL: how loud a participant is.
 */
typedef struct oh_event_audio_level {
    /** sizeof(oh_event_audio_level) in the library. */
    size_t size;
    /** The user id of the participant. */
    const char *user_id;
    /** The session id of the participant. */
    const char *session_id;
    /** 0.0 (silence) to 1.0. */
    float level;
    /** Speaks now. */
    oh_bool speaking;
} oh_event_audio_level;

/**
 * OH_EVENT_DOMINANT_SPEAKER: another participant speaks most.
 */
typedef struct oh_event_dominant_speaker {
    /** sizeof(oh_event_dominant_speaker) in the library. */
    size_t size;
    /** The user id of the participant. */
    const char *user_id;
    /** The session id of the participant. */
    const char *session_id;
} oh_event_dominant_speaker;

/**
 * OH_EVENT_CONNECTION_QUALITY: how well a participant is connected.
 */
typedef struct oh_event_connection_quality {
    /** sizeof(oh_event_connection_quality) in the library. */
    size_t size;
    /** The user id of the participant. */
    const char *user_id;
    /** The session id of the participant. */
    const char *session_id;
    /** Its quality now. */
    oh_connection_quality quality;
    /** Zero. */
    uint32_t reserved;
} oh_event_connection_quality;

/**
 * OH_EVENT_COUNTS: the number of participants, as counted by the SFU.
 */
typedef struct oh_event_counts {
    /** sizeof(oh_event_counts) in the library. */
    size_t size;
    /** Participants in the call, the local one and anonymous ones included. */
    uint32_t participants;
    /** Anonymous participants: counted, not listed; 0 in protocols without them. */
    uint32_t anonymous_participants;
} oh_event_counts;

/**
 * OH_EVENT_RIGHTS: what the local participant may do.
 */
typedef struct oh_event_rights {
    /** sizeof(oh_event_rights) in the library. */
    size_t size;
    /** The rights now. */
    oh_rights rights;
} oh_event_rights;

/**
 * OH_EVENT_PINS: all pinned participants.
 */
typedef struct oh_event_pins {
    /** sizeof(oh_event_pins) in the library. */
    size_t size;
    /** `pin_count` pointers, most important first; NULL when pin_count is 0. */
    const oh_pin *const *pins;
    /** Number of pinned participants. */
    size_t pin_count;
} oh_event_pins;

/**
 * OH_EVENT_LOCAL_TRACK_PUBLISHED, OH_EVENT_LOCAL_TRACK_FAILED: the result of publishing a local track.
 */
typedef struct oh_event_local_track {
    /** sizeof(oh_event_local_track) in the library. */
    size_t size;
    /** The track; none (id 0) when the application has freed it meanwhile. */
    oh_track track;
    /** Why it failed; "" for OH_EVENT_LOCAL_TRACK_PUBLISHED. */
    const char *text;
    /** OH_OK for OH_EVENT_LOCAL_TRACK_PUBLISHED. */
    oh_result error;
    /** The server's own code; 0 without one. */
    int32_t server_code;
} oh_event_local_track;

/**
 * OH_EVENT_ERROR: something failed that does not end the call.
 */
typedef struct oh_event_error {
    /** sizeof(oh_event_error) in the library. */
    size_t size;
    /** What failed and what to do. */
    const char *text;
    /** What kind of failure. */
    oh_result error;
    /** The server's own code (SFU error code or HTTP status); 0 without one. */
    int32_t server_code;
} oh_event_error;

/**
 * OH_EVENT_LOST: events are missing here. They were dropped because the queue was full; packets and texts also because
 * they could not be completed.
 */
typedef struct oh_event_lost {
    /** sizeof(oh_event_lost) in the library. */
    size_t size;
    /** Everything that is missing: events, packets and texts. */
    uint64_t total;
    /** Packets of participants, part of total. */
    uint64_t data_packets;
    /** Bytes of these packets. */
    uint64_t data_bytes;
    /** Texts of participants, part of total. */
    uint64_t texts;
} oh_event_lost;

/**
 * OH_EVENT_ENDED: why the call ended.
 */
typedef struct oh_event_ended {
    /** sizeof(oh_event_ended) in the library. */
    size_t size;
    /** The reason in words. */
    const char *text;
    /** The reason. */
    oh_end_reason reason;
    /** OH_OK when the call ended without a failure; OH_ERR_CANCELLED when it was left before it had joined. */
    oh_result error;
    /** The server's own code; 0 without one. */
    int32_t server_code;
    /** Zero. */
    uint32_t reserved;
} oh_event_ended;

/**
 * OH_EVENT_RECONNECTED: the call is connected again.
 */
typedef struct oh_event_reconnected {
    /** sizeof(oh_event_reconnected) in the library. */
    size_t size;
    /** The session id of the local participant now. */
    const char *session_id;
    /** Milliseconds since the loss was detected. */
    uint64_t elapsed_ms;
    /** How it was connected again. */
    oh_reconnect_kind kind;
    /** Attempts, the successful one included. */
    uint32_t attempts;
} oh_event_reconnected;

/**
 * OH_EVENT_CUSTOM: a custom event.
 */
typedef struct oh_event_custom {
    /** sizeof(oh_event_custom) in the library. */
    size_t size;
    /** The user id of the sender; "" when the coordinator does not say. */
    const char *user_id;
    /** The member `type` of the data when it is a string; else "". */
    const char *custom_type;
    /** The data as a JSON object, at most 16384 bytes. The order of its members can differ from the sender's. */
    const char *data_json;
} oh_event_custom;

/**
 * OH_EVENT_ROOM: the room.
 */
typedef struct oh_event_room {
    /** sizeof(oh_event_room) in the library. */
    size_t size;
    /** The server's id of the room. */
    const char *room_id;
    /** Its name, usually the call id that was joined. */
    const char *name;
    /** The application's own text about the room; may be "". */
    const char *metadata;
    /** The room is being recorded. */
    oh_bool recording;
    /** Zero. */
    uint32_t reserved;
} oh_event_room;

/**
 * OH_EVENT_DATA: a packet from a participant, or from the application's server.
 */
typedef struct oh_event_data {
    /** sizeof(oh_event_data) in the library. */
    size_t size;
    /** The user id of the sender; "" for the application's server. Data can come before OH_EVENT_PARTICIPANT_JOINED. */
    const char *user_id;
    /** The session id of the sender; "" when it is not known. */
    const char *session_id;
    /** The topic that the sender set; may be "". */
    const char *topic;
    /** `data_size` bytes; NULL when data_size is 0. */
    const uint8_t *data;
    /** Bytes at data. */
    size_t data_size;
    /** It came over the lossy channel. */
    oh_bool lossy;
    /** Zero. */
    uint32_t reserved;
} oh_event_data;

/**
 * OH_EVENT_TEXT: a complete text from a participant.
 */
typedef struct oh_event_text {
    /** sizeof(oh_event_text) in the library. */
    size_t size;
    /** The user id of the sender; "" for the application's server. */
    const char *user_id;
    /** The session id of the sender; "" when it is not known. */
    const char *session_id;
    /** The topic that the sender set; may be "". */
    const char *topic;
    /** The sender's id of this text. */
    const char *text_id;
    /** The text. */
    const char *text;
    /** Names and values that the sender attached, as a JSON object of strings; may be "". */
    const char *attributes_json;
} oh_event_text;

/**
 * OH_EVENT_TEXT_PART: a part of a text that is still arriving.
 */
typedef struct oh_event_text_part {
    /** sizeof(oh_event_text_part) in the library. */
    size_t size;
    /** The user id of the sender; "" for the application's server. */
    const char *user_id;
    /** The session id of the sender; "" when it is not known. */
    const char *session_id;
    /** The topic that the sender set; may be "". */
    const char *topic;
    /** The sender's id of this text: the same for all of its parts and for OH_EVENT_TEXT. */
    const char *text_id;
    /** The new part; whole characters only. */
    const char *text;
    /** Names and values that the sender attached, as a JSON object of strings; may be "". */
    const char *attributes_json;
    /** Bytes of the text before this part. */
    uint64_t offset_bytes;
} oh_event_text_part;

/**
 * OH_EVENT_RPC_REQUEST: a participant calls a procedure.
 */
typedef struct oh_event_rpc_request {
    /** sizeof(oh_event_rpc_request) in the library. */
    size_t size;
    /** For oh_call_answer_rpc. */
    const char *request_id;
    /** The user id of the caller. */
    const char *user_id;
    /** The procedure. */
    const char *method;
    /** The payload of the request; may be "". */
    const char *payload;
    /**
     * How long the caller waits for the answer, as it says. Other clients may say up to 7000 ms less than they wait.
     */
    uint32_t timeout_ms;
    /** Zero. */
    uint32_t reserved;
} oh_event_rpc_request;

/**
 * OH_EVENT_RPC_RESPONSE: the result of oh_call_perform_rpc.
 */
typedef struct oh_event_rpc_response {
    /** sizeof(oh_event_rpc_response) in the library. */
    size_t size;
    /** The id that oh_call_perform_rpc returned. */
    uint64_t rpc_id;
    /** The answer; on failure the data of the error, usually "". */
    const char *payload;
    /** Why it failed; "" on success. */
    const char *text;
    /** 0 on success; else an oh_rpc_error, or a code of the other application. */
    uint32_t error_code;
    /** Zero. */
    uint32_t reserved;
} oh_event_rpc_response;

/**
 * OH_EVENT_SUBSCRIPTION_PERMISSION: whether a track may be received.
 */
typedef struct oh_event_subscription_permission {
    /** sizeof(oh_event_subscription_permission) in the library. */
    size_t size;
    /** The user id of the track's participant. */
    const char *user_id;
    /** The session id of the track's participant. */
    const char *session_id;
    /** The track, as in oh_track_info. */
    const char *track_id;
    /** The track may be received. */
    oh_bool allowed;
    /** Zero. */
    uint32_t reserved;
} oh_event_subscription_permission;

/**
 * OH_EVENT_MEDIA: media of one direction was connected or lost.
 */
typedef struct oh_event_media {
    /** sizeof(oh_event_media) in the library. */
    size_t size;
    /** What was tried and found; "" when connected. */
    const char *text;
    /** The direction. */
    oh_direction direction;
    /** True: connected, media can flow. False: it was connected and was lost. */
    oh_bool connected;
} oh_event_media;

/**
 * OH_EVENT_UNSENT: what was accepted and could not be sent before the call ended.
 */
typedef struct oh_event_unsent {
    /** sizeof(oh_event_unsent) in the library. */
    size_t size;
    /** Milliseconds of audio, all tracks together. */
    uint64_t audio_ms;
    /** Packets of oh_call_send_data. */
    uint64_t data_packets;
    /** Texts of oh_call_send_text. */
    uint64_t texts;
    /** Events of oh_call_send_custom_event. */
    uint64_t custom_events;
    /** Answers of oh_call_answer_rpc. */
    uint64_t rpc_answers;
    /** Bytes of everything but audio. */
    uint64_t bytes;
} oh_event_unsent;

/**
 * OH_EVENT_UNPLAYABLE: media or data that cannot be decoded.
 */
typedef struct oh_event_unplayable {
    /** sizeof(oh_event_unplayable) in the library. */
    size_t size;
    /** The user id of the sender; "" when it is not known. */
    const char *user_id;
    /** The session id of the sender; "" when it is not known. */
    const char *session_id;
    /** The track, as in oh_track_info; "" when it is not known, and for data. */
    const char *track_id;
    /** What was found and what to do. */
    const char *text;
    /** What the track carries; OH_SOURCE_UNKNOWN for data. */
    oh_track_source source;
    /** Why. */
    oh_unplayable_reason reason;
} oh_event_unplayable;

/**
 * OH_EVENT_DTMF: a key of a telephone was pressed.
 */
typedef struct oh_event_dtmf {
    /** sizeof(oh_event_dtmf) in the library. */
    size_t size;
    /** The user id of the participant. */
    const char *user_id;
    /** The session id of the participant; "" when it is not known. */
    const char *session_id;
    /** The key: "0" to "9", "*", "#", "A" to "D". */
    const char *digit;
    /** Its number (RFC 4733): 0 to 15. */
    uint32_t code;
    /** Zero. */
    uint32_t reserved;
} oh_event_dtmf;

/**
 * OH_EVENT_ICE_SERVER: a STUN or TURN server gave no address.
 */
typedef struct oh_event_ice_server {
    /** sizeof(oh_event_ice_server) in the library. */
    size_t size;
    /**
     * The server's URL as the service named it, for instance "turn:turn.example.com:3478?transport=udp"; without
     * credentials, at most 1024 bytes.
     */
    const char *url;
    /** What was found and what to do. */
    const char *text;
    /**
     * The code of the server's error response (STUN, TURN): for instance 401 wrong credentials, 403 forbidden, 437
     * allocation mismatch, 441 wrong credentials for an allocation, 486 too many allocations, 508 no capacity. 701: it
     * was not reached: no answer, refused, TLS failed. As in W3C's icecandidateerror.
     */
    uint32_t code;
    /** Zero. */
    uint32_t reserved;
} oh_event_ice_server;

/**
 * What an event holds: the member for its kind. Pointers only, so that every structure can grow.
 */
typedef union oh_event_payload {
    /** OH_EVENT_STATE. */
    const oh_event_state *state;
    /** OH_EVENT_JOINED. */
    const oh_event_joined *joined;
    /** OH_EVENT_PARTICIPANT_JOINED, OH_EVENT_PARTICIPANT_UPDATED, OH_EVENT_PARTICIPANT_LEFT. */
    const oh_participant *participant;
    /** OH_EVENT_TRACK_PUBLISHED, OH_EVENT_TRACK_UNPUBLISHED. */
    const oh_track_info *track;
    /** OH_EVENT_AUDIO_LEVEL. */
    const oh_event_audio_level *audio_level;
    /** OH_EVENT_DOMINANT_SPEAKER. */
    const oh_event_dominant_speaker *dominant_speaker;
    /** OH_EVENT_CONNECTION_QUALITY. */
    const oh_event_connection_quality *connection_quality;
    /** OH_EVENT_COUNTS. */
    const oh_event_counts *counts;
    /** OH_EVENT_RIGHTS. */
    const oh_event_rights *rights;
    /** OH_EVENT_PINS. */
    const oh_event_pins *pins;
    /** OH_EVENT_LOCAL_TRACK_PUBLISHED, OH_EVENT_LOCAL_TRACK_FAILED. */
    const oh_event_local_track *local_track;
    /** OH_EVENT_ERROR. */
    const oh_event_error *error;
    /** OH_EVENT_LOST. */
    const oh_event_lost *lost;
    /** OH_EVENT_AUDIO. */
    const oh_audio_frame *audio;
    /** OH_EVENT_ENDED. */
    const oh_event_ended *ended;
    /** OH_EVENT_RECONNECTED. */
    const oh_event_reconnected *reconnected;
    /** OH_EVENT_CUSTOM. */
    const oh_event_custom *custom;
    /** OH_EVENT_ROOM. */
    const oh_event_room *room;
    /** OH_EVENT_DATA. */
    const oh_event_data *data;
    /** OH_EVENT_TEXT. */
    const oh_event_text *text;
    /** OH_EVENT_TEXT_PART. */
    const oh_event_text_part *text_part;
    /** OH_EVENT_RPC_REQUEST. */
    const oh_event_rpc_request *rpc_request;
    /** OH_EVENT_RPC_RESPONSE. */
    const oh_event_rpc_response *rpc_response;
    /** OH_EVENT_SUBSCRIPTION_PERMISSION. */
    const oh_event_subscription_permission *subscription_permission;
    /** OH_EVENT_MEDIA. */
    const oh_event_media *media;
    /** OH_EVENT_UNSENT. */
    const oh_event_unsent *unsent;
    /** OH_EVENT_UNPLAYABLE. */
    const oh_event_unplayable *unplayable;
    /** OH_EVENT_DTMF. */
    const oh_event_dtmf *dtmf;
    /** OH_EVENT_ICE_SERVER. */
    const oh_event_ice_server *ice_server;
    /** Of kinds that this header does not have; NULL for OH_EVENT_TOKEN_NEEDED. */
    const void *other;
} oh_event_payload;

/**
 * An event of a call. Everything it points to is valid until the callback returns (of a pulled event: until
 * oh_event_free). Text is UTF-8, never NULL and never cut: what a message within oh_client_options.max_message_bytes
 * holds arrives complete (texts of errors: 1024 bytes). A zero byte inside becomes U+FFFD.
 */
typedef struct oh_event {
    /** sizeof(oh_event) in the library. */
    size_t size;
    /** The call. */
    oh_call call;
    /** Milliseconds since oh_call_join; 0 for OH_EVENT_AUDIO, and for OH_EVENT_LOST of a full queue. */
    uint64_t at_ms;
    /** What it holds: the member that is named at the kind. */
    oh_event_payload u;
    /** Its kind; skip those that you do not know. */
    oh_event_kind kind;
    /** Zero. */
    uint32_t reserved;
} oh_event;

/**
 * Called with each event of a call, in order.
 *
 * @param user_data  as in oh_call_handlers.
 * @param call       the call.
 * @param event      valid until the handler returns.
 *
 * Runs on a callback thread; the callbacks of one call (events and media) run one at a time, with no lock held: every
 * function of the library may be called, oh_call_free included.
 */
typedef void (*oh_event_handler)(void *user_data, oh_call call, const oh_event *event);

/**
 * The name of an event kind, for instance "participant_joined".
 *
 * @param kind  any number.
 * @return      static text; "unknown" for numbers that are no kind. Any thread.
 */
OH_API const char *oh_event_kind_get_name(oh_event_kind kind);

/* -------- Protocols ------------------------------------------------------------------------------------------------ */

/**
 * The protocol of a service.
 */
OH_ENUM(oh_protocol) {
    /** By the URL: wss:// and ws:// mean OH_PROTOCOL_LIVEKIT, https:// and http:// OH_PROTOCOL_STREAM. */
    OH_PROTOCOL_AUTO = 0,
    /** Stream Video, also spoken by the development SFU. */
    OH_PROTOCOL_STREAM = 1,
    /**
     * LiveKit: the open server and its cluster. Tokens are made by the application's server, or with
     * oh_access_token_create.
     */
    OH_PROTOCOL_LIVEKIT = 2,
};

/**
 * What only some protocols have; bits of oh_capabilities. A function that needs a capability which the call's protocol
 * lacks returns OH_ERR_UNSUPPORTED and says so in oh_get_last_error.
 */
OH_ENUM(oh_capability) {
    /** oh_call_send_custom_event, OH_EVENT_CUSTOM. */
    OH_CAP_CUSTOM_EVENTS = 1,
    /** oh_call_options: ring, notify, data_json, no_create; otherwise they are ignored. */
    OH_CAP_RING = 2,
    /** OH_EVENT_PINS. */
    OH_CAP_PINS = 4,
    /** OH_EVENT_DOMINANT_SPEAKER. */
    OH_CAP_DOMINANT_SPEAKER = 8,
    /** OH_STATE_MIGRATING: an SFU moves its participants to another edge while media flows. */
    OH_CAP_MIGRATE = 16,
    /** oh_call_send_data, OH_EVENT_DATA. */
    OH_CAP_DATA = 32,
    /** oh_call_send_text, OH_EVENT_TEXT. */
    OH_CAP_TEXT = 64,
    /** oh_call_perform_rpc, OH_EVENT_RPC_REQUEST. */
    OH_CAP_RPC = 128,
    /** oh_call_set_attributes, and the metadata and attributes of participants. */
    OH_CAP_ATTRIBUTES = 256,
    /** OH_EVENT_ROOM. */
    OH_CAP_ROOM = 512,
    /** oh_subscriber_set_track, oh_call_options.no_auto_subscribe, OH_EVENT_SUBSCRIPTION_PERMISSION. */
    OH_CAP_SUBSCRIPTIONS = 1024,
};

/**
 * A set of oh_capability: the sum of its bits. Bits that you do not know may be set.
 */
typedef uint64_t oh_capabilities;

/* -------- Clients -------------------------------------------------------------------------------------------------- */

/**
 * Which IP addresses media uses.
 */
OH_ENUM(oh_ip_family) {
    /** IPv4 and IPv6. */
    OH_IP_ANY = 0,
    /** IPv4 only. */
    OH_IP_V4 = 1,
    /** IPv6 only. */
    OH_IP_V6 = 2,
};

/**
 * How to reach the service, and as whom. Begin with OH_INIT(oh_client_options). All text is copied.
 */
typedef struct oh_client_options {
    /** sizeof(oh_client_options). */
    size_t size;
    /**
     * Base URL of the coordinator, for instance "https://video.example.com". Required. With OH_PROTOCOL_LIVEKIT the URL
     * of the server, for instance "wss://sfu.example.com". Several servers of one cluster may be given,
     * space-separated; tried in order. A query in it is part of every request.
     */
    const char *url;
    /**
     * The application's API key; NULL: none. Blanks and line breaks around api_key and token are ignored; inside they
     * are OH_ERR_ARGUMENT.
     */
    const char *api_key;
    /**
     * The user id; NULL: the claim `user_id` (OH_PROTOCOL_LIVEKIT: `sub`) of the token. Required
     * without a token.
     */
    const char *user_id;
    /** The user's token (a JWT); NULL: every call asks for one with OH_EVENT_TOKEN_NEEDED. */
    const char *token;
    /**
     * PEM file with certificates to trust besides those of the system; NULL: none. A server that presents one of them
     * itself (a self-signed certificate) is accepted as well; host name and validity are checked in any case. Keys on
     * the curve P-521 are not supported.
     */
    const char *ca_file;
    /**
     * URL whose response names the nearest edge in the header `x-amz-cf-pop`; NULL: not requested. It gets no token.
     */
    const char *hint_url;
    /**
     * Largest message accepted from an SFU, in bytes on the wire, 1024 to 67108864; 0: 1048576, with
     * OH_PROTOCOL_LIVEKIT 16777216 (3,000 participants with 4 KiB of metadata each). A larger one closes the connection
     * with code 1009 and is reported with OH_ERR_LIMIT, the name of this option and the size: a join ends with it; later
     * it is an OH_EVENT_ERROR and the call reconnects, and ends when it comes again within two minutes. Within it, no
     * text of a participant or room is cut.
     */
    size_t max_message_bytes;
    /**
     * The protocol of the service; 0: OH_PROTOCOL_AUTO. api_key, hint_url and receive_custom_events are for
     * OH_PROTOCOL_STREAM.
     */
    oh_protocol protocol;
    /**
     * Allow plain http and ws to hosts that are not loopback. Tokens then travel in the clear. TLS is always verified.
     */
    oh_bool allow_insecure;
    /**
     * Allow tokens to be sent to hosts that the server names over a connection without TLS. Otherwise: over TLS, any
     * host that the server names; without TLS, only the host that the token was given for (all ports of it; the
     * addresses of loopback are one host). Redirects are never followed. A server that is not on this machine or link
     * must not name loopback or link-local addresses, not by a name either, whatever is set here: OH_ERR_INSECURE.
     */
    oh_bool allow_other_hosts;
    /**
     * Receive custom events of the coordinator (OH_EVENT_CUSTOM), over one more WebSocket for all calls of this client.
     * It reconnects by itself and never affects a call; a join waits at most 500 ms for its first connection.
     */
    oh_bool receive_custom_events;
    /**
     * HTTP or SOCKS5 proxy for connections to the service and for TURN over TCP and TLS, for instance
     * "http://user:password@proxy.example.com:3128"; also https://, socks5:// and socks5h:// (the same). The proxy looks up
     * the names. Other characters of user and password are percent-encoded. NULL: as the environment says
     * (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY). "none": no proxy. Servers on loopback are always reached directly,
     * and UDP never goes through a proxy. The password is never part of an error, a log line or a trace.
     */
    const char *proxy;
    /**
     * The only network interfaces to use for media, by name, with commas between: "eth0,wl*". A * at the end stands for
     * any rest; a name that begins with ! is not used: "!docker*". At most 64 names. NULL: those that routes to the SFU
     * lead through. With names that begin with ! only: the same without these.
     */
    const char *interfaces;
    /** IP addresses to use for media; 0: OH_IP_ANY. */
    oh_ip_family ip_family;
    /**
     * Use only addresses of TURN servers for media, and send the SFU no others. A call whose service names no TURN server
     * then has no media.
     */
    oh_bool relay_only;
    /**
     * First local UDP port for media, 1 to 65535; 0 for both ports: any. A session uses up to two ports of each local
     * address; while a call reconnects, those of two sessions. The range is shared by all calls of this machine that use
     * it, and must hold at least two ports.
     */
    uint32_t media_port_min;
    /** Last local UDP port for media, more than media_port_min. */
    uint32_t media_port_max;
    /**
     * Differentiated services code point (RFC 2474) of media packets, 0 to 63, for instance 46 (EF) for voice; 0: the
     * system's. Networks may ignore or change it.
     */
    uint32_t dscp;
    /** Zero. */
    uint32_t reserved;
} oh_client_options;

/**
 * Makes a client. Opens no connection.
 *
 * @param options  see oh_client_options; `url` is required.
 * @param client   receives the handle.
 * @return         OH_OK; OH_ERR_ARGUMENT with details in oh_get_last_error; OH_ERR_INSECURE for plain http or ws to a
 *                 host that is not loopback; OH_ERR_ABI; OH_ERR_LIMIT.
 *
 * Any thread. Free it with oh_client_free.
 */
OH_API oh_result oh_client_new(const oh_client_options *options, oh_client *client);

/**
 * Frees a client and its calls, which are left and freed as by oh_call_free. Handles of its calls, tracks and so on may
 * be freed before or after.
 *
 * @param client  none or stale: nothing happens.
 *
 * Any thread, callbacks included. May wait for callbacks in progress on other threads.
 */
OH_API void oh_client_free(oh_client client);

/* -------- Calls ---------------------------------------------------------------------------------------------------- */

/**
 * Where events and audio of a call go. oh_call_join copies it.
 */
typedef struct oh_call_handlers {
    /** sizeof(oh_call_handlers). */
    size_t size;
    /** Passed to the handlers and to destroy. */
    void *user_data;
    /** Receives events; NULL: events are not delivered (with on_audio set). */
    oh_event_handler on_event;
    /** Receives audio; NULL: audio is not delivered. */
    oh_audio_handler on_audio;
    /**
     * Called exactly once, after the last callback of the call; may be NULL. Not called when oh_call_join fails:
     * user_data then stays the caller's.
     */
    oh_destroy destroy;
} oh_call_handlers;

/**
 * What to join and how. Begin with OH_INIT(oh_call_options). All text is copied.
 */
typedef struct oh_call_options {
    /** sizeof(oh_call_options). */
    size_t size;
    /**
     * Which call. Required; with OH_PROTOCOL_LIVEKIT the room, NULL: the one that the token is for. With
     * OH_PROTOCOL_STREAM call_id and call_type are parts of a path: at most 1024 bytes, no control characters, not
     * "." or "..".
     */
    const char *call_id;
    /** The type of the call; NULL: "default". */
    const char *call_type;
    /**
     * Token for this call instead of the client's; NULL: the client's. Blanks and line breaks around it are ignored.
     */
    const char *token;
    /** The `data` of the join request as a JSON object; NULL: none. */
    const char *data_json;
    /**
     * Where events and audio go; NULL, or neither on_event nor on_audio set: pull mode, see
     * oh_call_wait_event; destroy must be NULL then.
     */
    const oh_call_handlers *handlers;
    /**
     * Bytes of payload in events that wait for the application at most, 65536 to 1073741824; 0: 4194304. Beyond it
     * reliable data stays with its sender (flow control); everything else is dropped as beyond max_queued_events.
     */
    size_t max_queued_event_bytes;
    /**
     * Events that wait for the application at most, 16 to 65536; 0: 1024. Beyond it events are dropped, and
     * OH_EVENT_LOST has their number. Participants and their tracks have a queue of their own (32768 events, 16 MiB).
     * Never dropped are OH_EVENT_ENDED, OH_EVENT_RPC_REQUEST, OH_EVENT_RPC_RESPONSE, reliable packets and texts: when as
     * many of these wait, reliable data stays with its sender (flow control). State events and results of publishing are dropped only when a later
     * one of the same call or track replaces them.
     */
    uint32_t max_queued_events;
    /**
     * Audio frames that wait for the application at most, 1 to 4096, all tracks together; 0: 50, one second of one
     * track; and 8 MiB. Beyond it the oldest is dropped and counted (oh_call_stats.audio_frames_dropped).
     */
    uint32_t max_queued_audio_frames;
    /** Sample rate of received audio in Hz, 8000 to 192000; 0: 48000. */
    uint32_t audio_sample_rate_hz;
    /** Channels of received audio, 1 or 2; 0: 1. */
    uint32_t audio_channels;
    /** Format of received audio; 0: OH_AUDIO_S16. */
    oh_audio_format audio_format;
    /**
     * Jitter buffer: least delay in ms, 1 to 2000; 0: 20; OH_ZERO: none. A recorder loses fewer late packets with more.
     */
    uint32_t audio_min_delay_ms;
    /**
     * Jitter buffer: greatest delay in ms, 20 to 2000, not less than audio_min_delay_ms; 0: 200, or
     * audio_min_delay_ms when that is more.
     */
    uint32_t audio_max_delay_ms;
    /** Further attempts to join after a failed one, on another edge if there is one, 1 to 10; 0: 3; OH_ZERO: none. */
    uint32_t join_retries;
    /**
     * Reconnect timeout in ms: how long the call tries to reconnect before it ends; 0: 30000; OH_ZERO: it ends
     * instead of reconnecting; OH_FOREVER: no limit. Meanwhile the call is in OH_STATE_RECONNECTING, MIGRATING or
     * OFFLINE; handles stay valid, and audio that is written while there is no peer connection is discarded.
     */
    uint32_t reconnect_timeout_ms;
    /**
     * How long oh_call_leave and oh_call_free go on sending what was accepted before (audio, data, texts, custom
     * events, answers to procedure calls), in ms, 1 to 1000; 0: 1000; OH_ZERO: nothing more is sent. The whole of a
     * leave still takes at most 2000 ms.
     */
    uint32_t drain_ms;
    /**
     * Never receive (for a bot that only publishes). No subscriber is created; with OH_PROTOCOL_LIVEKIT one that
     * subscribes to nothing, because servers take that connection for the participant's.
     */
    oh_bool no_subscriber;
    /** A track is received only when oh_subscriber_set_track asks for it (OH_CAP_SUBSCRIPTIONS). */
    oh_bool no_auto_subscribe;
    /** Pull mode: deliver audio as OH_EVENT_AUDIO. */
    oh_bool pull_audio;
    /** Deliver parts of texts while they arrive (OH_EVENT_TEXT_PART). */
    oh_bool text_parts;
    /** A track that a moderator unmutes stays muted until oh_track_set_muted unmutes it; see oh_track_info.held. */
    oh_bool hold_unmute;
    /** Ask for a new token with OH_EVENT_TOKEN_NEEDED when the token has expired. Always so without a token. */
    oh_bool renew_token;
    /** Do not create the call when it does not exist (OH_CAP_RING). */
    oh_bool no_create;
    /** Ring the members (OH_CAP_RING). */
    oh_bool ring;
    /** Notify the members (OH_CAP_RING). */
    oh_bool notify;
    /** Zero. */
    uint32_t reserved;
} oh_call_options;

/**
 * Statistics of a call, counted since oh_call_join. Begin with OH_INIT(oh_call_stats).
 */
typedef struct oh_call_stats {
    /**
     * sizeof(oh_call_stats); afterwards the bytes that were filled in, which are fewer when the library is older than
     * this header.
     */
    size_t size;
    /** Participants that the server lists, the local one included; 0 before the join and after the end. */
    uint32_t participants;
    /** Variation of arrival times (jitter), the greatest of all received tracks, in ms. */
    uint32_t jitter_ms;
    /** Milliseconds from oh_call_join to OH_STATE_JOINED; 0: not yet. */
    uint64_t join_ms;
    /** Milliseconds from oh_call_join to the first audio delivered; 0: none yet. */
    uint64_t first_audio_ms;
    /**
     * Offers of the SFU dropped because the call was leaving, or the subscriber was closed, freed, never created or
     * replaced.
     */
    uint64_t late_offers;
    /** Those of late_offers that came while the call was leaving. */
    uint64_t late_offers_leaving;
    /** Other late or stale messages, replies and candidates, dropped. */
    uint64_t late_messages;
    /** Messages of the SFU that could not be parsed, dropped. */
    uint64_t malformed_messages;
    /** Messages of kinds that this version does not know, or does not use. */
    uint64_t unknown_messages;
    /** Offers of the SFU that were answered. */
    uint64_t offers_answered;
    /** Offers of the SFU that could not be answered. */
    uint64_t offers_failed;
    /** Attempts to join, the first one included. */
    uint64_t join_attempts;
    /** Requests to the SFU. */
    uint64_t sfu_requests;
    /** Requests to the SFU that were sent again. */
    uint64_t sfu_request_retries;
    /** OH_EVENT_ERROR and OH_EVENT_LOCAL_TRACK_FAILED, those of custom events not included. */
    uint64_t error_events;
    /** ICE candidates that were stale, malformed or too many, dropped. */
    uint64_t candidates_dropped;
    /** RTP packets received. */
    uint64_t packets_received;
    /** Bytes of the payloads of packets_received. */
    uint64_t bytes_received;
    /** Audio packets that never arrived. */
    uint64_t packets_lost;
    /** Audio packets that arrived too late to be played. */
    uint64_t packets_late;
    /**
     * RTP packets that could not be decoded: encrypted end to end, or of a codec or payload type that is not
     * supported.
     */
    uint64_t packets_unplayable;
    /** RTP packets that could not be assigned to a track of a participant. */
    uint64_t packets_unassigned;
    /** RTP packets with padding only. */
    uint64_t packets_padding;
    /** Audio frames (20 ms, or one Opus packet) put out for the application. */
    uint64_t frames_played;
    /**
     * Audio frames synthesised by packet-loss concealment in place of lost or late packets. Fewer than the frames with
     * oh_audio_frame.concealed: at the beginning of a pause no packet is missing.
     */
    uint64_t frames_concealed;
    /** Lost audio frames recovered by forward error correction. */
    uint64_t frames_recovered_fec;
    /** Lost audio frames recovered from redundant audio (RED, RFC 2198), in time to be played. */
    uint64_t frames_recovered_red;
    /** Audio frames dropped because the application did not take them in time. */
    uint64_t audio_frames_dropped;
    /** Events dropped because the application did not take them in time. */
    uint64_t events_dropped;
    /** Bytes of payload in events that wait for the application now. */
    uint64_t queued_event_bytes;
    /** RTP packets sent. */
    uint64_t packets_sent;
    /** Bytes of the payloads of packets_sent. */
    uint64_t bytes_sent;
    /** Milliseconds of audio dropped because a live track was written faster than it is sent, or by oh_track_clear. */
    uint64_t audio_dropped_ms;
    /** Reconnects that succeeded with a new socket only. */
    uint64_t reconnects_fast;
    /** Reconnects that succeeded with a new session. */
    uint64_t reconnects_rejoin;
    /** Reconnects that succeeded by moving to another edge. */
    uint64_t reconnects_migrate;
    /** Attempts to reconnect, failed ones included. */
    uint64_t reconnect_attempts;
    /** Further reasons to reconnect during a reconnect. */
    uint64_t reconnect_triggers_merged;
    /** Packets and texts between participants that were lost, malformed, never completed, or more than can wait. */
    uint64_t data_dropped;
    /** Packets and texts of participants that were encrypted end to end, part of data_dropped. */
    uint64_t data_encrypted;
    /** Packets, texts, custom events and answers that were accepted and not sent before the end. */
    uint64_t data_unsent;
} oh_call_stats;

/**
 * Starts to join a call. Returns at once; OH_EVENT_JOINED or OH_EVENT_ENDED is the result (oh_call_wait_state waits for
 * it).
 *
 * @param client   the client; it must live as long as its calls, freeing it frees them.
 * @param options  see oh_call_options; `call_id` is required.
 * @param call     receives the handle, before the first callback runs.
 * @return         OH_OK; OH_ERR_ARGUMENT with details in oh_get_last_error; OH_ERR_HANDLE; OH_ERR_ABI; OH_ERR_LIMIT when
 *                 the system has no threads or descriptors left, or when more than oh_limits.max_queued_bytes wait for
 *                 the application; OH_ERR_STATE while the library shuts down; OH_ERR_UNSUPPORTED for an option that
 *                 the protocol does not have. On failure destroy is not called, and `call` is not written.
 *
 * Any thread, callbacks included. Free it with oh_call_free.
 */
OH_API oh_result oh_call_join(oh_client client, const oh_call_options *options, oh_call *call);

/**
 * Waits until a call is in a state.
 *
 * @param call        the call.
 * @param state       usually OH_STATE_JOINED or OH_STATE_LEFT. A state that is over before this thread runs, as a
 *                    short reconnect, is missed: OH_EVENT_STATE reports each. For OH_STATE_LEFT it waits until
 *                    OH_EVENT_ENDED was delivered (and destroy called), so that oh_call_free loses no event. In pull
 *                    mode it waits for the end alone: take events until OH_ERR_CLOSED before oh_call_free.
 * @param timeout_ms  how long to wait; 0: not at all; OH_FOREVER.
 * @return            OH_OK when the call is in that state; OH_ERR_TIMEOUT; when the call ended first: the error it ended
 *                    with (OH_ERR_CANCELLED when the application left; OH_ERR_STATE when it ended without an error),
 *                    oh_get_last_error has the text;
 *                    OH_ERR_WOULD_DEADLOCK inside a callback of the same call, and for OH_STATE_LEFT inside a callback
 *                    of another call for which a callback of this one waits, directly or indirectly; OH_ERR_HANDLE;
 *                    OH_ERR_ARGUMENT for an unknown state.
 *
 * Any thread.
 */
OH_API oh_result oh_call_wait_state(oh_call call, oh_call_state state, uint32_t timeout_ms);

/**
 * Gets the state of a call.
 *
 * @param state  receives the state.
 * @return       OH_OK; OH_ERR_HANDLE; OH_ERR_ARGUMENT.
 *
 * Any thread.
 */
OH_API oh_result oh_call_get_state(oh_call call, oh_call_state *state);

/**
 * Gets the trace of a call: what its protocol logic received and decided, to find out why, and to replay it. Lines of
 * JSON: the first has the settings of the call, each other one an input ("in", "tick", with the time in ns) or a
 * decision ("out"). Of a long call the end is kept. Works until the call is freed, also after its end. Attach it to a
 * report of a defect.
 *
 * It holds no tokens, passwords, metadata, texts, payloads or media: a hash or a length stands in their place. It does
 * hold names of participants and addresses of this machine.
 *
 * @param buf       receives the text, cut after the last line that fits and always NUL-terminated; may be NULL when
 *                  buf_size is 0.
 * @param buf_size  bytes at buf.
 * @param length    receives the length of the complete text without its NUL; it can be more at the next call.
 * @return          OH_OK, also when the text was cut; OH_ERR_HANDLE; OH_ERR_ARGUMENT.
 *
 * Any thread, callbacks included. Usually less than 1 MiB.
 */
OH_API oh_result oh_call_get_trace(oh_call call, char *buf, size_t buf_size, size_t *length);

/**
 * Answers OH_EVENT_TOKEN_NEEDED, inside the callback or later.
 *
 * @param token  the user's token; blanks and line breaks around it are ignored. NULL: there is none; the join fails
 *               with OH_ERR_AUTH, a reconnect with OH_END_RECONNECT_REFUSED.
 * @return       OH_OK; OH_ERR_STATE when the call is over; OH_ERR_FULL; OH_ERR_HANDLE; OH_ERR_ARGUMENT, with
 *               OH_PROTOCOL_LIVEKIT also for a token for another call: the call then still waits for one.
 *
 * Any thread. The token is ignored when none was asked for.
 */
OH_API oh_result oh_call_provide_token(oh_call call, const char *token);

/**
 * Sends a custom event to all clients of the call that receive custom events, this one included (OH_CAP_CUSTOM_EVENTS).
 * Returns at once; the events of one call are sent in order. A failure is reported as OH_EVENT_ERROR, and the event is
 * not sent again.
 *
 * @param call       the call, joined; its client needs no oh_client_options.receive_custom_events to send.
 * @param data_json  a JSON object, at most 16384 bytes.
 * @return           OH_OK; OH_ERR_ARGUMENT when data_json is not a JSON object, or too long; OH_ERR_STATE before the
 *                   join or after the end; OH_ERR_FULL when 32 events wait to be sent; OH_ERR_UNSUPPORTED;
 *                   OH_ERR_HANDLE; OH_ERR_LIMIT.
 *
 * Any thread, callbacks included.
 */
OH_API oh_result oh_call_send_custom_event(oh_call call, const char *data_json);

/**
 * Leaves a call: sends what was accepted before (audio, data, texts, custom events, answers to procedure calls), then
 * the leave message; OH_EVENT_ENDED follows within 2000 ms. Returns at once; from here on nothing more is accepted or
 * received, and received audio that waits in jitter buffers is discarded.
 *
 * What waits is sent within oh_call_options.drain_ms, and only as long as it takes; then up to 200 ms pass, within drain_ms, so that
 * the last audio is played before the others learn that this participant left. What could not be sent in time, or because the
 * connection was lost, is reported by OH_EVENT_UNSENT before OH_EVENT_ENDED.
 *
 * @param call    the call; leaving twice, or after the end, does nothing.
 * @param reason  sent to the SFU, cut to 115 bytes; may be NULL.
 * @return        OH_OK; OH_ERR_HANDLE; OH_ERR_ARGUMENT when reason is not UTF-8.
 *
 * Any thread, callbacks included. The handle stays valid until oh_call_free.
 */
OH_API oh_result oh_call_leave(oh_call call, const char *reason);

/**
 * Frees a call: leaves it if that was not done, and ends its callbacks. Its publisher, subscriber and tracks are freed
 * with it.
 *
 * When it returns, no callback of this call runs, and destroy has been called: it waits for a callback in progress on
 * another thread. Inside a callback of the same call it returns at once and takes effect when that callback returns;
 * likewise when the callback in progress waits for the callback that this is called in, so that calls that free each
 * other inside their callbacks do not deadlock.
 *
 * What was accepted before is still sent, as by oh_call_leave, in the background and within 2000 ms. What could not be
 * sent is only logged then: to receive OH_EVENT_UNSENT, call oh_call_leave and wait for OH_STATE_LEFT first. The end of
 * the process ends it as well; oh_shutdown_wait waits for it.
 *
 * @param call  none or stale: nothing happens.
 *
 * Any thread, callbacks included.
 */
OH_API void oh_call_free(oh_call call);

/**
 * The name of a state, for instance "joined".
 *
 * @param state  any number.
 * @return       static text; "unknown" for numbers that are no state. Any thread.
 */
OH_API const char *oh_call_state_get_name(oh_call_state state);

/**
 * Gets what the protocol of a call can do.
 *
 * @param capabilities  receives the capabilities.
 * @return              OH_OK; OH_ERR_HANDLE; OH_ERR_ARGUMENT.
 *
 * Any thread, at any time of the call.
 */
OH_API oh_result oh_call_get_capabilities(oh_call call, oh_capabilities *capabilities);

/**
 * Changes the name, metadata and attributes of the local participant (OH_CAP_ATTRIBUTES); asynchronous. A refusal by the
 * server is reported as OH_EVENT_ERROR, a change as OH_EVENT_PARTICIPANT_UPDATED with `local`.
 *
 * @param name             the display name; NULL or "": unchanged.
 * @param metadata         the application's own text; NULL or "": unchanged.
 * @param attributes_json  a JSON object of strings, at most 256 members: only these names change, "" deletes one; NULL:
 *                         unchanged.
 * @return                 OH_OK; OH_ERR_ARGUMENT; OH_ERR_UNSUPPORTED; OH_ERR_REFUSED without OH_RIGHT_SET_ATTRIBUTES;
 *                         OH_ERR_STATE after the end; OH_ERR_FULL; OH_ERR_HANDLE.
 *
 * Any thread, callbacks included.
 */
OH_API oh_result oh_call_set_attributes(oh_call call,
                                        const char *name,
                                        const char *metadata,
                                        const char *attributes_json);

/**
 * Gets all participants of a call with their tracks: the local one first, the others by session id. It is at least as new
 * as any event that was delivered, and complete also when events were dropped. Before the join it has the local
 * participant alone, after the end nobody.
 *
 * @param participants  receives a snapshot, which does not change; free it with oh_participants_free.
 * @return              OH_OK; OH_ERR_HANDLE; OH_ERR_ARGUMENT.
 *
 * Any thread, callbacks included.
 */
OH_API oh_result oh_call_get_participants(oh_call call, const oh_participants **participants);

/**
 * Frees a snapshot of oh_call_get_participants.
 *
 * @param participants  NULL, or not a snapshot: nothing happens.
 *
 * Any thread, before or after the call was freed.
 */
OH_API void oh_participants_free(const oh_participants *participants);

/**
 * Gets the statistics of a call. Works until it is freed, also after its end.
 *
 * @param stats  its `size` must be set; filled in as far as header and library both know it.
 * @return       OH_OK; OH_ERR_HANDLE; OH_ERR_ARGUMENT; OH_ERR_ABI for a wrong size.
 *
 * Any thread.
 */
OH_API oh_result oh_call_get_stats(oh_call call, oh_call_stats *stats);

/* -------- Pulled events -------------------------------------------------------------------------------------------- */

/**
 * Takes the next event of a call in pull mode (a call joined without handlers), waiting for it.
 *
 * @param call        a call without handlers.
 * @param timeout_ms  how long to wait; 0: not at all; OH_FOREVER.
 * @param event       receives the event; free it with oh_event_free.
 * @return            OH_OK; OH_ERR_EMPTY when there was none in time; OH_ERR_CLOSED after the last event, or when
 *                    the call was freed meanwhile; OH_ERR_STATE when the call has handlers, or another thread is
 *                    waiting; OH_ERR_LIMIT when 65536 events are not freed; OH_ERR_HANDLE; OH_ERR_ARGUMENT.
 *
 * Any thread, one at a time.
 */
OH_API oh_result oh_call_wait_event(oh_call call, uint32_t timeout_ms, const oh_event **event);

/**
 * Frees an event of oh_call_wait_event.
 *
 * @param event  NULL, freed already, or not a pulled event: nothing happens. The address of a freed event is not used
 *               for another one before 65536 more were pulled, so that freeing it twice frees no other event.
 *
 * Any thread, before or after the call was freed.
 */
OH_API void oh_event_free(const oh_event *event);

/**
 * Gets a descriptor that polls readable while oh_call_wait_event has an event, or OH_ERR_CLOSED to return, for poll, epoll or kqueue. The
 * library owns it: do not read, write or close it; it is closed after oh_call_free: stop
 * polling it before.
 *
 * @param call  a call without handlers.
 * @param fd    receives the descriptor.
 * @return      OH_OK; OH_ERR_STATE when the call has handlers; OH_ERR_LIMIT when the system has no descriptor left;
 *              OH_ERR_HANDLE; OH_ERR_ARGUMENT.
 *
 * Any thread.
 */
OH_API oh_result oh_call_get_wake_fd(oh_call call, int32_t *fd);

/* -------- Data, texts and procedure calls -------------------------------------------------------------------------- */

/**
 * Why a procedure call failed, as detected by clients. Applications use codes of their own from 1 to 999 and from 2000 on.
 */
OH_ENUM(oh_rpc_error) {
    /** The participant has no such procedure. */
    OH_RPC_UNSUPPORTED_METHOD = 1400,
    /** No participant with this user id is in the call, and nobody acknowledged the request within 2 s. */
    OH_RPC_RECIPIENT_NOT_FOUND = 1401,
    /** The payload is too long for the participant. */
    OH_RPC_REQUEST_TOO_LARGE = 1402,
    /** The participant uses another version of procedure calls. */
    OH_RPC_UNSUPPORTED_VERSION = 1404,
    /** The procedure failed. */
    OH_RPC_APPLICATION = 1500,
    /** The participant did not acknowledge the request within 7 s. */
    OH_RPC_CONNECTION_TIMEOUT = 1501,
    /** No answer within timeout_ms. The request may still arrive, and the procedure run. */
    OH_RPC_RESPONSE_TIMEOUT = 1502,
    /** The participant left. */
    OH_RPC_RECIPIENT_DISCONNECTED = 1503,
    /** The answer was too long. */
    OH_RPC_RESPONSE_TOO_LARGE = 1504,
    /**
     * Not sent (too many requests are in progress, the publisher or the subscriber is closed, a right is missing), or the
     * call ended before the answer: then the procedure may have run.
     */
    OH_RPC_SEND_FAILED = 1505,
};

/**
 * To whom data or a text is sent, and how. Begin with OH_INIT(oh_data_options). All text is copied.
 */
typedef struct oh_data_options {
    /** sizeof(oh_data_options). */
    size_t size;
    /** A topic, at most 1024 bytes, for the application's own use; NULL: "". */
    const char *topic;
    /** `to_count` user ids; NULL: everybody in the call. */
    const char *const *to;
    /** Number of user ids at to, at most 256. */
    size_t to_count;
    /**
     * Send each packet once, without repeating lost ones. Otherwise packets arrive, in order; what is
     * in transit when a new session replaces the old one (OH_RECONNECT_REJOIN) can be lost. Ignored for texts.
     */
    oh_bool lossy;
    /** Zero. */
    uint32_t reserved;
} oh_data_options;

/**
 * Which procedure to call, of which participant. Begin with OH_INIT(oh_rpc_options). All text is copied.
 */
typedef struct oh_rpc_options {
    /** sizeof(oh_rpc_options). */
    size_t size;
    /** The user id of the participant. Required. */
    const char *to;
    /** The name of the procedure. Required. */
    const char *method;
    /** The payload, at most 15360 bytes; NULL: "". */
    const char *payload;
    /** How long to wait for the answer, in ms, 1000 to 600000; 0: 15000. */
    uint32_t timeout_ms;
    /** Zero. */
    uint32_t reserved;
} oh_rpc_options;

/**
 * Sends a packet to other participants (OH_CAP_DATA). Returns at once; packets of one delivery are sent in order. They
 * wait while the call reconnects.
 *
 * @param options    NULL: reliable, to everybody, without a topic.
 * @param data       `data_size` bytes; may be NULL when data_size is 0.
 * @param data_size  at most 60000, and with topic and twice the ids in `to` less than 65536; 15000 is a good size, because
 *                   larger packets delay those that follow.
 * @return           OH_OK; OH_ERR_ARGUMENT; OH_ERR_UNSUPPORTED; OH_ERR_REFUSED without OH_RIGHT_DATA; OH_ERR_STATE
 *                   before the join and after the end; OH_ERR_FULL when 1 MiB waits to be sent; OH_ERR_CLOSED when the
 *                   publisher was closed; OH_ERR_HANDLE; OH_ERR_ABI.
 *
 * Any thread, callbacks included.
 */
OH_API oh_result oh_call_send_data(oh_call call, const oh_data_options *options, const void *data, size_t data_size);

/**
 * Sends a text to other participants (OH_CAP_TEXT). It arrives complete, as OH_EVENT_TEXT.
 *
 * @param options  as for oh_call_send_data; `lossy` is ignored.
 * @param text     at most 1048576 bytes.
 * @return         as oh_call_send_data.
 *
 * Any thread, callbacks included.
 */
OH_API oh_result oh_call_send_text(oh_call call, const oh_data_options *options, const char *text);

/**
 * Calls a procedure of another participant (OH_CAP_RPC). Returns at once; OH_EVENT_RPC_RESPONSE with the same rpc_id is
 * the result, exactly once.
 *
 * @param options  `to` and `method` are required.
 * @param rpc_id   receives the id of this procedure call; may be NULL.
 * @return         OH_OK; OH_ERR_ARGUMENT; OH_ERR_UNSUPPORTED; OH_ERR_REFUSED without OH_RIGHT_DATA; OH_ERR_STATE after
 *                 the end; OH_ERR_FULL; OH_ERR_HANDLE; OH_ERR_ABI.
 *
 * Any thread, callbacks included. The response may come before this function has returned.
 */
OH_API oh_result oh_call_perform_rpc(oh_call call, const oh_rpc_options *options, uint64_t *rpc_id);

/**
 * Answers OH_EVENT_RPC_REQUEST, inside the callback or later. A second answer, or one after the caller's timeout and 7 s
 * more, is dropped and counted (oh_call_stats.late_messages).
 *
 * @param request_id  of the event.
 * @param payload     the answer, at most 15360 bytes; for a failure, data about it; NULL: "". A longer one, or one that
 *                    is not UTF-8, is OH_ERR_ARGUMENT, and the caller gets OH_RPC_RESPONSE_TOO_LARGE at once.
 * @param error_code  0: success; else an oh_rpc_error, or a code of your own.
 * @param error_text  why it failed, cut to 256 bytes; may be NULL.
 * @return            OH_OK; OH_ERR_ARGUMENT; OH_ERR_UNSUPPORTED; OH_ERR_REFUSED without OH_RIGHT_DATA; OH_ERR_STATE
 *                    after the end; OH_ERR_FULL; OH_ERR_HANDLE.
 *
 * Any thread, callbacks included.
 */
OH_API oh_result oh_call_answer_rpc(oh_call call,
                                    const char *request_id,
                                    const char *payload,
                                    uint32_t error_code,
                                    const char *error_text);

/* -------- Publisher ------------------------------------------------------------------------------------------------ */

/**
 * Gets the publisher of a call. Every call has one; the same handle each time.
 *
 * @param publisher  receives the handle; freed with the call at the latest.
 * @return           OH_OK; OH_ERR_HANDLE; OH_ERR_ARGUMENT; OH_ERR_LIMIT.
 *
 * Any thread.
 */
OH_API oh_result oh_call_get_publisher(oh_call call, oh_publisher *publisher);

/**
 * Stops sending at once and for good while the call goes on; its tracks are over. Audio and data that were accepted and
 * not sent yet are discarded, and counted by OH_EVENT_UNSENT: call oh_track_wait_drained first, or free the tracks.
 * Closing twice is fine.
 *
 * @return  OH_OK; OH_ERR_HANDLE.
 *
 * Any thread, callbacks included.
 */
OH_API oh_result oh_publisher_close(oh_publisher publisher);

/**
 * Closes the publisher and frees its handle; the call goes on.
 *
 * @param publisher  none or stale: nothing happens.
 *
 * Any thread, callbacks included.
 */
OH_API void oh_publisher_free(oh_publisher publisher);

/* -------- Local tracks --------------------------------------------------------------------------------------------- */

/**
 * What is published, and how. Begin with OH_INIT(oh_audio_track_options).
 */
typedef struct oh_audio_track_options {
    /** sizeof(oh_audio_track_options). */
    size_t size;
    /** What the track carries: OH_SOURCE_MICROPHONE or OH_SOURCE_SCREEN_SHARE_AUDIO; 0: OH_SOURCE_MICROPHONE. */
    oh_track_source source;
    /** Format of what will be written; 0: OH_AUDIO_S16. S16 and F32 may be mixed. */
    oh_audio_format format;
    /** Sample rate of what will be written in Hz, 8000 to 192000; 0: 48000. */
    uint32_t sample_rate_hz;
    /** Channels of what will be written, 1 to 8; 0: 1. More than two are mixed down. */
    uint32_t channels;
    /** Bit rate of Opus in bit/s, 6000 to 510000; 0: 64000, with music 128000. */
    uint32_t bitrate_bps;
    /** Complexity of the Opus encoder, 1 to 10; 0: the library's choice; OH_ZERO: 0. */
    uint32_t complexity;
    /** How much can be written ahead, in ms, 40 to 5000; 0: 200. */
    uint32_t buffer_ms;
    /**
     * Redundant audio (RED, RFC 2198), where the call and its SFU allow it: how many earlier frames are sent again with
     * each packet, 1 or 2; 0: 1; OH_ZERO: none. A lost packet is then restored from the next one, at the cost of the
     * bytes of the earlier frames.
     */
    uint32_t red_frames;
    /** Music rather than speech. */
    oh_bool music;
    /**
     * No discontinuous transmission: silence is sent as well. Otherwise as the settings of the call say; never for
     * music.
     */
    oh_bool no_dtx;
    /** No forward error correction inside Opus packets. It is used only while redundant audio (red_frames) is not. */
    oh_bool no_fec;
    /** Publish it muted. */
    oh_bool muted;
    /**
     * Live audio (a microphone, a bridge): at most 40 ms wait; beyond it the oldest is dropped and counted
     * (oh_call_stats.audio_dropped_ms). Writing never returns OH_ERR_FULL.
     */
    oh_bool live;
    /** Zero. */
    uint32_t reserved;
} oh_audio_track_options;

/**
 * Statistics of a local track, counted since it was published. Begin with OH_INIT(oh_track_stats).
 */
typedef struct oh_track_stats {
    /** sizeof(oh_track_stats); afterwards the bytes that were filled in. */
    size_t size;
    /** RTP packets sent, over all connections. */
    uint64_t packets_sent;
    /** Bytes of the payloads of packets_sent. */
    uint64_t bytes_sent;
    /** Packets and frames that could not be sent, those of a time without a connection included. */
    uint64_t packets_failed;
    /**
     * Milliseconds of what was written that were taken for sending: also what was discarded without a connection, and
     * silence that DTX left out.
     */
    uint64_t sent_ms;
    /** Milliseconds dropped because a live track was written faster than it is sent, or by oh_track_clear. */
    uint64_t dropped_ms;
    /** Milliseconds that were not sent before the end of the track. */
    uint64_t unsent_ms;
    /** Packets that the receiver reports as lost, since the beginning; negative when it received duplicates. */
    int64_t reported_lost;
    /** Age of the receiver's report in ms. */
    uint64_t report_age_ms;
    /** Milliseconds that were written and not sent yet. */
    uint32_t buffered_ms;
    /** What the track carries. */
    oh_track_source source;
    /** It is published: packets can be sent. */
    oh_bool published;
    /** It is muted, by the application or a moderator. */
    oh_bool muted;
    /** A moderator muted it. */
    oh_bool moderated;
    /** The receiver has sent a report (RFC 3550 section 6.4.1); else the members that begin with `reported_` are 0. */
    oh_bool has_report;
    /** Share of packets lost since the report before, 0.0 to 1.0. */
    float reported_fraction_lost;
    /** Variation of arrival times (jitter) at the receiver, in ms. */
    float reported_jitter_ms;
    /** Round-trip time to the receiver in ms; 0: not measured. */
    float reported_round_trip_ms;
    /** Zero. */
    uint32_t reserved;
} oh_track_stats;

/**
 * Publishes an audio track. Returns at once; OH_EVENT_LOCAL_TRACK_PUBLISHED or OH_EVENT_LOCAL_TRACK_FAILED is the
 * result. May be called before the call is joined. A call has up to 32 local tracks at a time, several of one source
 * included.
 *
 * @param call     the call.
 * @param options  NULL: the defaults: mono, 16-bit, 48000 Hz.
 * @param track    receives the handle; free it with oh_track_free, or with the call.
 * @return         OH_OK; OH_ERR_ARGUMENT; OH_ERR_HANDLE; OH_ERR_STATE when the call is over; OH_ERR_REFUSED without
 *                 OH_RIGHT_AUDIO (of a screen: OH_RIGHT_SCREEN_SHARE; before the rights are known, OH_EVENT_LOCAL_TRACK_FAILED with the same error);
 *                 OH_ERR_CLOSED when the publisher was closed; OH_ERR_MEDIA; OH_ERR_ABI; OH_ERR_LIMIT
 *                 when 32 tracks are published; OH_ERR_FULL when too many that are over were not freed, or are still
 *                 being sent.
 *
 * Any thread, callbacks included.
 */
OH_API oh_result oh_call_publish_audio(oh_call call, const oh_audio_track_options *options, oh_track *track);

/**
 * Writes audio as 16-bit integers. Never waits: the library sends 20 ms every 20 ms by its own clock, whatever the
 * rhythm of the writes. oh_track_wait_writable waits for room.
 *
 * @param samples  frames * channels samples, interleaved; copied.
 * @param frames   samples per channel, any number that fits the buffer (a live track: any).
 * @return         OH_OK: all was taken; OH_ERR_FULL: nothing was taken, because there is no room for all of it now (for
 *                 more than the buffer holds there never is);
 *                 OH_ERR_STATE for a track of Opus packets; OH_ERR_CLOSED when the track or its call is over;
 *                 OH_ERR_HANDLE; OH_ERR_ARGUMENT.
 *
 * Any thread; writers of one track should take turns.
 */
OH_API oh_result oh_track_write_s16(oh_track track, const int16_t *samples, size_t frames);

/**
 * Writes audio as 32-bit floats, -1.0 to 1.0; otherwise as oh_track_write_s16.
 *
 * @param samples  frames * channels samples, interleaved; copied.
 * @param frames   samples per channel.
 * @return         as oh_track_write_s16.
 */
OH_API oh_result oh_track_write_f32(oh_track track, const float *samples, size_t frames);

/**
 * Writes one Opus packet (RFC 6716) of the application's own encoder, on a track with the format OH_AUDIO_OPUS. It is
 * sent unchanged, at its time; packets of DTX (two bytes or less) are left out.
 *
 * @param packet       copied.
 * @param packet_size  1 to 1500 bytes.
 * @return             as oh_track_write_s16; OH_ERR_ARGUMENT also when it is not an Opus packet.
 */
OH_API oh_result oh_track_write_opus(oh_track track, const uint8_t *packet, size_t packet_size);

/**
 * Waits until there is room to write.
 *
 * @param frames      samples per channel (a track of Opus packets: of 48 kHz, 960 for 20 ms).
 * @param timeout_ms  how long to wait; 0: not at all; OH_FOREVER.
 * @return            OH_OK; OH_ERR_TIMEOUT; OH_ERR_CLOSED when the track or its call is over; OH_ERR_ARGUMENT when so
 *                    many never fit; OH_ERR_WOULD_DEADLOCK inside a callback with a timeout; OH_ERR_HANDLE.
 *
 * Any thread. The buffer does not drain until the track is published.
 */
OH_API oh_result oh_track_wait_writable(oh_track track, size_t frames, uint32_t timeout_ms);

/**
 * Waits until everything that was written has been sent, what is written meanwhile included.
 *
 * @param timeout_ms  how long to wait; 0: not at all; OH_FOREVER.
 * @return            OH_OK; OH_ERR_TIMEOUT; OH_ERR_CLOSED when the track or its call is over; OH_ERR_WOULD_DEADLOCK
 *                    inside a callback with a timeout; OH_ERR_HANDLE.
 *
 * Any thread. The buffer does not drain until the track is published. A muted track has nothing left to send.
 * oh_call_leave and oh_track_free drain by themselves, within oh_call_options.drain_ms.
 */
OH_API oh_result oh_track_wait_drained(oh_track track, uint32_t timeout_ms);

/**
 * Discards what was written and not sent yet: others receive nothing more of it. What is written next is sent at once.
 * For an answer that is interrupted (barge-in), and before oh_track_free or oh_call_leave when the rest is not wanted.
 *
 * @param sent_ms     receives how much of everything written to this track was taken for sending, in ms: also what was
 *                    discarded without a connection, and silence that DTX left out; may
 *                    be NULL.
 * @param dropped_ms  receives how much was discarded now, in ms; may be NULL.
 * @return            OH_OK; OH_ERR_CLOSED when the track or its call is over; OH_ERR_HANDLE.
 *
 * Any thread, callbacks included.
 */
OH_API oh_result oh_track_clear(oh_track track, uint64_t *sent_ms, uint64_t *dropped_ms);

/**
 * Gets how much was written and not sent yet. To wait until it is sent: oh_track_wait_drained.
 *
 * @param buffered_ms  receives the time in ms; after the end of the track, what was not sent.
 * @return             OH_OK; OH_ERR_HANDLE; OH_ERR_ARGUMENT.
 *
 * Any thread.
 */
OH_API oh_result oh_track_get_buffered_ms(oh_track track, uint32_t *buffered_ms);

/**
 * Mutes or unmutes a track. Media follows at once. What was written while muted is never sent, nor what was written
 * before a change and is not sent yet. The others are
 * informed; the last call wins. The track stays published.
 *
 * @param muted  true: mute.
 * @return       OH_OK; OH_ERR_HANDLE; OH_ERR_STATE when the call is over.
 *
 * Any thread, callbacks included.
 */
OH_API oh_result oh_track_set_muted(oh_track track, oh_bool muted);

/**
 * Unpublishes a track and frees its handle. What was written before is still sent, in the background and within
 * oh_call_options.drain_ms; a track of the same source that is published next starts after that. Call oh_track_clear first when the rest is
 * not wanted. OH_EVENT_UNSENT counts what could not be sent in time.
 *
 * @param track  none or stale: nothing happens.
 *
 * Any thread, callbacks included; returns at once.
 */
OH_API void oh_track_free(oh_track track);

/**
 * Gets the statistics of a local track. Works until it is freed, also after its end.
 *
 * @param stats  its `size` must be set; filled in as far as header and library both know it.
 * @return       OH_OK; OH_ERR_HANDLE; OH_ERR_ARGUMENT; OH_ERR_ABI for a wrong size.
 *
 * Any thread, callbacks included.
 */
OH_API oh_result oh_track_get_stats(oh_track track, oh_track_stats *stats);

/* -------- Subscriber ----------------------------------------------------------------------------------------------- */

/**
 * A layer of simulcast video.
 */
OH_ENUM(oh_video_layer) {
    /** The best that the network allows. */
    OH_LAYER_HIGH = 0,
    /** The middle one. */
    OH_LAYER_MEDIUM = 1,
    /** The smallest one. */
    OH_LAYER_LOW = 2,
};

/**
 * Subscription settings of a remote track. Begin with OH_INIT(oh_remote_track_options).
 */
typedef struct oh_remote_track_options {
    /** sizeof(oh_remote_track_options). */
    size_t size;
    /** Do not receive the track. */
    oh_bool unsubscribe;
    /** Receive nothing for the moment; continues faster than after unsubscribe. */
    oh_bool pause;
    /** Video: the layer, when neither width nor height is set. */
    oh_video_layer layer;
    /** Video: width at which it is shown, in pixels; 0: not set. */
    uint32_t width;
    /** Video: height at which it is shown, in pixels; 0: not set. */
    uint32_t height;
    /** Video: frames per second at most; 0: no limit. */
    uint32_t max_fps;
    /** When bandwidth is short: 1 is served first; 0: the SFU decides. */
    uint32_t priority;
    /** Zero. */
    uint32_t reserved;
} oh_remote_track_options;

/**
 * Statistics of a remote track, over mutes and reconnects. Begin with OH_INIT(oh_remote_track_stats).
 */
typedef struct oh_remote_track_stats {
    /** sizeof(oh_remote_track_stats); afterwards the bytes that were filled in. */
    size_t size;
    /** RTP packets received. */
    uint64_t packets_received;
    /** Bytes of the payloads of packets_received. */
    uint64_t bytes_received;
    /** Packets that never arrived. */
    uint64_t packets_lost;
    /** Packets that arrived too late to be played. */
    uint64_t packets_late;
    /** Packets that arrived more than once. */
    uint64_t packets_duplicate;
    /** Packets dropped as malformed, or because too many were waiting. */
    uint64_t packets_discarded;
    /** Packets with padding only. */
    uint64_t packets_padding;
    /** Packets that could not be decoded. */
    uint64_t packets_unplayable;
    /** Audio frames (20 ms, or one Opus packet) put out for the application. */
    uint64_t frames_played;
    /** Audio frames synthesised by packet-loss concealment in place of lost or late packets. */
    uint64_t frames_concealed;
    /** Lost audio frames recovered by forward error correction. */
    uint64_t frames_recovered_fec;
    /** Lost audio frames recovered from redundant audio (RED, RFC 2198), in time to be played. */
    uint64_t frames_recovered_red;
    /** Variation of arrival times (jitter), in ms (RFC 3550 section 6.4.1). */
    float jitter_ms;
    /** Audio that waits in the jitter buffer, in ms. */
    float buffered_ms;
    /** Delay of the jitter buffer now, in ms. */
    float delay_ms;
    /** Delay that the jitter buffer aims at, in ms. */
    float target_delay_ms;
    /** What the track carries. */
    oh_track_source source;
    /** A stream carries it now. */
    oh_bool received;
} oh_remote_track_stats;

/**
 * Gets the subscriber of a call; the same handle each time, also after it was closed or freed (then it is stale).
 *
 * @param subscriber  receives the handle; freed with the call at the latest.
 * @return            OH_OK; OH_ERR_HANDLE; OH_ERR_ARGUMENT; OH_ERR_LIMIT.
 *
 * Any thread.
 */
OH_API oh_result oh_call_get_subscriber(oh_call call, oh_subscriber *subscriber);

/**
 * Sets the subscription of a remote track (OH_CAP_SUBSCRIPTIONS). Asynchronous; the last call wins, and it is kept over
 * reconnects until the track ends. Video is not received in this version, whatever is set.
 *
 * @param track_id  of oh_track_info.
 * @param options   NULL: receive it, as well as the network allows.
 * @return          OH_OK, and OH_EVENT_ERROR when it fails later (OH_ERR_LIMIT beyond 1024 tracks); OH_ERR_ARGUMENT;
 *                  OH_ERR_UNSUPPORTED; OH_ERR_REFUSED without OH_RIGHT_SUBSCRIBE; OH_ERR_STATE after the end; OH_ERR_FULL; OH_ERR_HANDLE; OH_ERR_ABI.
 *
 * Any thread, callbacks included.
 */
OH_API oh_result oh_subscriber_set_track(oh_subscriber subscriber,
                                         const char *track_id,
                                         const oh_remote_track_options *options);

/**
 * Stops receiving for good while the call goes on. Audio that waits is discarded. Later offers of the SFU are dropped
 * without an error and counted (oh_call_stats.late_offers). Closing twice is fine. Waits for a callback in progress on
 * another thread: when it returns, no more audio is delivered, unless it was called inside a callback of the same call.
 * With OH_PROTOCOL_LIVEKIT data, texts and procedure calls end as well, while offers are still answered, without
 * subscribing to anything: servers take that connection for the participant's.
 *
 * @return  OH_OK; OH_ERR_HANDLE; OH_ERR_WOULD_DEADLOCK when the callback in progress waits for the callback that this is
 *          called in: then it is closed, but was not waited for.
 *
 * Any thread, callbacks included.
 */
OH_API oh_result oh_subscriber_close(oh_subscriber subscriber);

/**
 * Closes the subscriber and frees its handle; the call goes on.
 *
 * @param subscriber  none or stale: nothing happens.
 *
 * Any thread, callbacks included. Waits as oh_subscriber_close.
 */
OH_API void oh_subscriber_free(oh_subscriber subscriber);

/**
 * Gets the statistics of a remote track. Works also after the end of the call.
 *
 * @param session_id  the session id of its participant.
 * @param track_id    of oh_track_info; NULL or "" in protocols without track ids: the track with that source.
 * @param source      what the track carries; ignored with a track_id.
 * @param stats       its `size` must be set; filled in as far as header and library both know it.
 * @return            OH_OK; OH_ERR_EMPTY when no packet of such a track was received, or the track ended (without track ids: its participant left);
 *                    OH_ERR_HANDLE; OH_ERR_ARGUMENT; OH_ERR_ABI for a wrong size.
 *
 * Any thread, callbacks included.
 */
OH_API oh_result oh_subscriber_get_track_stats(oh_subscriber subscriber,
                                               const char *session_id,
                                               const char *track_id,
                                               oh_track_source source,
                                               oh_remote_track_stats *stats);

/* -------- Access tokens -------------------------------------------------------------------------------------------- */

/**
 * Who may join which call, and do what there. Begin with OH_INIT(oh_access_token_options).
 */
typedef struct oh_access_token_options {
    /** sizeof(oh_access_token_options). */
    size_t size;
    /** The API key of the service. Required. Blanks and line breaks around it are ignored. */
    const char *api_key;
    /** The secret of the API key. Required; keep it on servers. Blanks and line breaks around it are ignored. */
    const char *api_secret;
    /** The user id. Required. */
    const char *user_id;
    /** The call (room). Required. */
    const char *call_id;
    /** The display name; NULL: none. */
    const char *name;
    /** The application's own text about the participant; NULL: none. */
    const char *metadata;
    /** Names and values as a JSON object of strings, at most 256 members; NULL: none. */
    const char *attributes_json;
    /** Seconds until the token expires, 1 to 31536000; 0: 21600 (6 hours). */
    uint32_t ttl_s;
    /** May not publish. */
    oh_bool no_publish;
    /** May not receive tracks. */
    oh_bool no_subscribe;
    /** May not send data. */
    oh_bool no_data;
    /** May call oh_call_set_attributes. */
    oh_bool allow_set_attributes;
    /** Is not visible to others. */
    oh_bool hidden;
    /** May administrate the room over the server's own API. */
    oh_bool room_admin;
    /** Zero. */
    uint32_t reserved;
} oh_access_token_options;

/**
 * Creates an access token for OH_PROTOCOL_LIVEKIT (a JWT, RFC 7519, signed with HMAC-SHA256). Opens no connection. For
 * servers and tests: an application on a user's machine must not have the secret.
 *
 * @param options   api_key, api_secret, user_id and call_id are required.
 * @param buf       receives the token, NUL-terminated; may be NULL when buf_size is 0.
 * @param buf_size  bytes at buf.
 * @param length    receives the length of the token without its NUL, also with OH_ERR_BUFFER; may be NULL.
 * @return          OH_OK; OH_ERR_BUFFER when buf_size is not more than the length: nothing is written to buf;
 *                  OH_ERR_ARGUMENT; OH_ERR_ABI.
 *
 * Any thread.
 */
OH_API oh_result oh_access_token_create(const oh_access_token_options *options,
                                        char *buf,
                                        size_t buf_size,
                                        size_t *length);

/* -------- Diagnosis ------------------------------------------------------------------------------------------------ */

/**
 * A STUN or TURN server. Begin with OH_INIT(oh_ice_server). All text is copied.
 */
typedef struct oh_ice_server {
    /** sizeof(oh_ice_server). */
    size_t size;
    /** Its URL (RFC 7064, RFC 7065), for instance "turn:turn.example.com:3478?transport=tcp". Required. */
    const char *url;
    /** The user name; NULL: none. Required for TURN. */
    const char *username;
    /** The password; NULL: none. Required for TURN. It is never part of a report. */
    const char *password;
} oh_ice_server;

/**
 * What to diagnose. Begin with OH_INIT(oh_diagnose_options). All text is copied.
 */
typedef struct oh_diagnose_options {
    /** sizeof(oh_diagnose_options). */
    size_t size;
    /**
     * The service and how to reach it, as for oh_client_new. Required, with its `url`. Without a token, the service is
     * asked whether it is there; user_id is needed for a join only.
     */
    const oh_client_options *client;
    /**
     * The call to join for a moment, with the token of `client`; NULL: no call is joined. Other participants see the
     * local one join, with a muted microphone, and leave. No audio is sent. As by oh_call_join, the call is created if
     * it does not exist.
     */
    const char *call_id;
    /** The type of the call; NULL: "default". */
    const char *call_type;
    /**
     * STUN and TURN servers to check besides those that the service names in a join: `ice_server_count` pointers; NULL
     * when ice_server_count is 0.
     */
    const oh_ice_server *const *ice_servers;
    /** Number of servers, at most 16. */
    size_t ice_server_count;
    /** The longest time for everything, in ms, 100 to 600000; 0: 20000. What is not done then has failed. */
    uint32_t timeout_ms;
    /** Zero. */
    uint32_t reserved;
} oh_diagnose_options;

/**
 * The result of oh_diagnose.
 */
typedef struct oh_diagnosis {
    /** sizeof(oh_diagnosis) in the library. */
    size_t size;
    /**
     * The report for people: a line for each step with its state, what it concerns, its time and what was found; then
     * single results, and what to do ("->").
     */
    const char *text;
    /**
     * The same for programs, a JSON object: `format` (1), `version` of the library, `state`, `complete`, `ms`, `failed`,
     * `warnings`, and the array `steps`. A step has `name`, `target`, `state` ("ok", "warning", "failed" or "skipped"),
     * `ms` and `found`; if there is something to say also `cause` (one word, for instance "certificate_expired"),
     * `advice` and `details` (an array of texts). Later versions may have more members, names and causes.
     */
    const char *report_json;
    /** Steps that failed. */
    uint32_t steps_failed;
    /** Steps with a warning. */
    uint32_t steps_warning;
    /** The time was over, or the library shut down, before all steps were taken. */
    oh_bool incomplete;
    /** Zero. */
    uint32_t reserved;
} oh_diagnosis;

/**
 * Receives the result of oh_diagnose.
 *
 * @param user_data  as given to oh_diagnose.
 * @param diagnosis  valid until the handler returns.
 *
 * Runs once, on a callback thread. It may use the library.
 */
typedef void (*oh_diagnosis_handler)(void *user_data, const oh_diagnosis *diagnosis);

/**
 * Finds out why a call does not connect, step by step: this machine's addresses and routes, name look-up, TCP to each
 * address, proxy, TLS and the certificate, whether the service answers and accepts the token; with a token and a call_id
 * a short join, with the addresses and the relay that media uses; and each STUN and TURN server by itself, over UDP, TCP
 * and TLS. Each step is logged with OH_LOG_INFO when it ends.
 *
 * It waits for the network, so the result goes to a handler, as everything that comes later: the caller never blocks, and
 * calls of the process are not affected. It needs no oh_client, which cannot be made of some of the options that are to be
 * checked. It cannot be stopped, but is bounded by timeout_ms; oh_shutdown_wait ends it at once, with what is known.
 *
 * A report has no tokens, passwords or queries of URLs. It does have host names and addresses of this machine and of
 * servers.
 *
 * @param options    `client` is required.
 * @param handler    receives the result, exactly once. Required.
 * @param user_data  passed to handler.
 * @param destroy    called once, after the handler; may be NULL. Not called on failure: user_data then stays the
 *                   caller's, and the handler is not called.
 * @return           OH_OK; OH_ERR_ARGUMENT with details in oh_get_last_error; OH_ERR_ABI; OH_ERR_LIMIT when 8 are in
 *                   progress, or the system has no threads or descriptors left; OH_ERR_STATE while the library shuts
 *                   down. What is wrong with the network or the service is no failure of this function.
 *
 * Any thread, callbacks included. Returns at once.
 */
OH_API oh_result oh_diagnose(const oh_diagnose_options *options,
                             oh_diagnosis_handler handler,
                             void *user_data,
                             oh_destroy destroy);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* OFFHOOK_H */

/* shim.h - the C interface, found by pkg-config, and the _INIT macros, which Swift cannot import, as functions. */
#ifndef COFFHOOK_SHIM_H
#define COFFHOOK_SHIM_H

#include <offhook.h>

/* The defaults, of the size that the header has: a newer library's own _init would write more. */
static inline oh_client_options coffhook_client_options(void) { oh_client_options o = OH_CLIENT_OPTIONS_INIT; return o; }
static inline oh_call_options coffhook_call_options(void) { oh_call_options o = OH_CALL_OPTIONS_INIT; return o; }
static inline oh_audio_track_options coffhook_audio_track_options(void) { oh_audio_track_options o = OH_AUDIO_TRACK_OPTIONS_INIT; return o; }
static inline oh_data_options coffhook_data_options(void) { oh_data_options o = OH_DATA_OPTIONS_INIT; return o; }
static inline oh_rpc_options coffhook_rpc_options(void) { oh_rpc_options o = OH_RPC_OPTIONS_INIT; return o; }
static inline oh_remote_track_options coffhook_remote_track_options(void) { oh_remote_track_options o = OH_REMOTE_TRACK_OPTIONS_INIT; return o; }
static inline oh_access_token_options coffhook_access_token_options(void) { oh_access_token_options o = OH_ACCESS_TOKEN_OPTIONS_INIT; return o; }
static inline oh_limits coffhook_limits(void) { oh_limits o = OH_LIMITS_INIT; return o; }

#endif

/*
 * growth.c - a program compiled with one header and run with a library of another version.
 * test: timeout=90
 *
 * Compiled against the present header, against that of the first release (growth_kept.c) and against one of a later
 * release (growth_newer.c), in which every structure has two more members at its end. Expected: options are accepted
 * when the new members are zero, else OH_ERR_ABI names the structure; statistics are filled as far as both know
 * them; every structure that the library passes has its real size, and the members that both know are set.
 */
#include "check.h"
#include "ctl.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* The bytes by which this header's structures are larger than the library's. */
#ifdef OH_PLANTED
enum { MORE = 16 };
#else
enum { MORE = 0 };
#endif

/* Sets a member that the library does not know. */
#ifdef OH_PLANTED
#define PLANT(options) ((options).planted_number = 1)
#define UNPLANT(options) ((options).planted_number = 0)
#else
#define PLANT(options) ((void)0)
#define UNPLANT(options) ((void)0)
#endif

/* The call's protocol has no data and no RPC: OH_ERR_UNSUPPORTED is returned after the options were read. */
static oh_result taken(oh_result r) { return r == OH_ERR_UNSUPPORTED ? OH_OK : r; }

#define TAKES(type, options, call) do { \
        CHECK_OK(taken(call)); \
        PLANT(options); \
        if (MORE) { \
            char why[512]; \
            CHECK_OH(call, OH_ERR_ABI); \
            oh_get_last_error(why, sizeof why); \
            CHECK_THAT(strstr(why, #type " "), "'%s' does not name " #type, why); \
        } \
        UNPLANT(options); \
    } while (0)

/*
 * The size that the library sets in its own structure: at least that of the first release, at most that of this
 * header.
 */
#define KNOWN(type, structure) CHECK_EQ((structure)->size, sizeof(type) - MORE)

typedef struct side {
    atomic_int states, joined, participants, tracks, levels, media, counts, rights, local, ended, frames, custom;
} side;

static atomic_int records, destroyed;

static void on_log(void *user, const oh_log_record *record)
{
    (void)user;
    KNOWN(oh_log_record, record);
    CHECK(record->text && record->level >= OH_LOG_ERROR && record->level <= OH_LOG_DEBUG);
    atomic_fetch_add(&records, 1);
}

static atomic_int diagnoses;

static void on_diagnosis(void *user, const oh_diagnosis *diagnosis)
{
    (void)user;
    KNOWN(oh_diagnosis, diagnosis);
    CHECK(strstr(diagnosis->text, " ok, ") && diagnosis->report_json[0] == '{');
    CHECK_EQ(diagnosis->steps_failed, 0);
    atomic_fetch_add(&diagnoses, 1);
}

static void check_track(const oh_track_info *track)
{
    KNOWN(oh_track_info, track);
    CHECK(track->user_id[0] && track->session_id[0] && track->source == OH_SOURCE_MICROPHONE);
}

static void check_participant(const oh_participant *p)
{
    KNOWN(oh_participant, p);
    CHECK(p->user_id[0] && p->session_id[0] && p->name && p->image_url && p->custom_json && p->attributes_json);
    CHECK_EQ(p->tracks != NULL, p->track_count > 0);
    for (size_t i = 0; i < p->track_count; i++) check_track(p->tracks[i]);
}

static void on_event(void *user, oh_call call, const oh_event *e)
{
    side *s = user;
    KNOWN(oh_event, e);
    CHECK_EQ(e->call.id, call.id);
    switch (e->kind) {
    case OH_EVENT_STATE: KNOWN(oh_event_state, e->u.state); atomic_fetch_add(&s->states, 1); break;
    case OH_EVENT_JOINED:
        KNOWN(oh_event_joined, e->u.joined);
        CHECK(e->u.joined->session_id[0] && e->u.joined->participants > 0);
        atomic_fetch_add(&s->joined, 1);
        break;
    case OH_EVENT_PARTICIPANT_JOINED:
    case OH_EVENT_PARTICIPANT_UPDATED:
    case OH_EVENT_PARTICIPANT_LEFT: check_participant(e->u.participant); atomic_fetch_add(&s->participants, 1); break;
    case OH_EVENT_TRACK_PUBLISHED:
    case OH_EVENT_TRACK_UNPUBLISHED: check_track(e->u.track); atomic_fetch_add(&s->tracks, 1); break;
    case OH_EVENT_AUDIO_LEVEL: KNOWN(oh_event_audio_level, e->u.audio_level); atomic_fetch_add(&s->levels, 1); break;
    case OH_EVENT_DOMINANT_SPEAKER: KNOWN(oh_event_dominant_speaker, e->u.dominant_speaker); break;
    case OH_EVENT_CONNECTION_QUALITY: KNOWN(oh_event_connection_quality, e->u.connection_quality); break;
    case OH_EVENT_COUNTS: KNOWN(oh_event_counts, e->u.counts); atomic_fetch_add(&s->counts, 1); break;
    case OH_EVENT_RIGHTS:
        KNOWN(oh_event_rights, e->u.rights);
        CHECK(e->u.rights->rights & OH_RIGHT_AUDIO);
        atomic_fetch_add(&s->rights, 1);
        break;
    case OH_EVENT_PINS: KNOWN(oh_event_pins, e->u.pins); break;
    case OH_EVENT_LOCAL_TRACK_PUBLISHED:
        KNOWN(oh_event_local_track, e->u.local_track);
        CHECK_EQ(e->u.local_track->error, OH_OK);
        atomic_fetch_add(&s->local, 1);
        break;
    case OH_EVENT_CUSTOM:
        KNOWN(oh_event_custom, e->u.custom);
        CHECK_STR(e->u.custom->custom_type, "growth");
        atomic_fetch_add(&s->custom, 1);
        break;
    case OH_EVENT_MEDIA: KNOWN(oh_event_media, e->u.media); atomic_fetch_add(&s->media, 1); break;
    case OH_EVENT_ENDED:
        KNOWN(oh_event_ended, e->u.ended);
        CHECK_EQ(e->u.ended->reason, OH_END_LEFT);
        atomic_fetch_add(&s->ended, 1);
        break;
    case OH_EVENT_ERROR: KNOWN(oh_event_error, e->u.error); FAIL("an error: %s", e->u.error->text);
    default: CHECK(e->u.other != NULL);
    }
}

static void on_audio(void *user, oh_call call, const oh_audio_frame *frame)
{
    side *s = user;
    (void)call;
    KNOWN(oh_audio_frame, frame);
    CHECK(frame->samples_s16 && frame->frames == 960 && frame->source == OH_SOURCE_MICROPHONE && frame->user_id[0]);
    if (!frame->concealed && !frame->silence) CHECK(frame->arrival_time_us > 0);
    atomic_fetch_add(&s->frames, 1);
}

static void on_destroy(void *user) { (void)user; atomic_fetch_add(&destroyed, 1); }

static void wait_for(const char *what, atomic_int *number, int least)
{
    for (double end = now_ms() + ms(15000); atomic_load(number) < least; nap(5)) CHECK_THAT(now_ms() < end, "no %s", what);
}

static void join(oh_client client, oh_call_options *what, side *s, oh_call *call)
{
    oh_call_handlers handlers = OH_INIT(oh_call_handlers);
    handlers.user_data = s;
    handlers.on_event = on_event;
    handlers.on_audio = on_audio;
    handlers.destroy = on_destroy;
    what->handlers = &handlers;
    PLANT(handlers);
    if (MORE) CHECK_OH(oh_call_join(client, what, call), OH_ERR_ABI);
    UNPLANT(handlers);
    CHECK_OK(oh_call_join(client, what, call));
    what->handlers = NULL;
    CHECK_OK(oh_call_wait_state(*call, OH_STATE_JOINED, ms(15000)));
}

int main(void)
{
    static int16_t samples[4800];
    oh_client_options where = OH_INIT(oh_client_options);
    oh_call_options what = OH_INIT(oh_call_options);
    oh_client client[2];
    oh_call call[2];
    side side[2] = { 0 };

    test_begin("growth");
    test_step(10, "clients, limits, log");
    where.url = getenv("OFFHOOK_SFU_URL");
    where.token = "development";
    where.receive_custom_events = 1;
    CHECK_OK(oh_log_set(OH_LOG_DEBUG, on_log, NULL, NULL));
    for (int i = 0; i < 2; i++) {
        where.user_id = i ? "bob" : "ann";
        TAKES(oh_client_options, where, oh_client_new(&where, &client[i]));
    }
    oh_diagnose_options diagnose = OH_INIT(oh_diagnose_options);
    diagnose.client = &where;
    TAKES(oh_diagnose_options, diagnose, oh_diagnose(&diagnose, on_diagnosis, NULL, NULL));
    TAKES(oh_client_options, where, oh_diagnose(&diagnose, on_diagnosis, NULL, NULL));
    while (atomic_load(&diagnoses) < 2) nap(5);
    oh_limits limits = OH_INIT(oh_limits);
    TAKES(oh_limits, limits, oh_limits_set(&limits));

    test_step(30, "calls");
    what.call_id = "growth";
    PLANT(what);
    if (MORE) CHECK_OH(oh_call_join(client[0], &what, &call[0]), OH_ERR_ABI);
    UNPLANT(what);
    for (int i = 0; i < 2; i++) join(client[i], &what, &side[i], &call[i]);

    test_step(30, "tracks, and what comes of them");
    oh_audio_track_options options = OH_INIT(oh_audio_track_options);
    oh_track track = { 0 };
    options.buffer_ms = 2000;
    PLANT(options);
    if (MORE) CHECK_OH(oh_call_publish_audio(call[0], &options, &track), OH_ERR_ABI);
    UNPLANT(options);
    CHECK_OK(oh_call_publish_audio(call[0], &options, &track));
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) samples[i] = (int16_t)(i % 96 < 48 ? 9000 : -9000);
    for (int i = 0; i < 20; i++) {
        CHECK_OK(oh_track_wait_writable(track, sizeof samples / sizeof *samples, ms(5000)));
        CHECK_OK(oh_track_write_s16(track, samples, sizeof samples / sizeof *samples));
    }
    wait_for("local track", &side[0].local, 1);
    wait_for("track", &side[1].tracks, 1);
    wait_for("audio", &side[1].frames, 50);
    wait_for("level", &side[1].levels, 1);
    wait_for("media", &side[1].media, 1);
    ctl("grants", "{\"user_id\":\"ann\",\"audio\":true,\"video\":false}");
    wait_for("rights", &side[0].rights, 1);
    wait_for("participant", &side[0].participants, 1);
    CHECK_OK(oh_call_send_custom_event(call[0], "{\"type\":\"growth\"}"));
    wait_for("custom event", &side[1].custom, 1);

    test_step(10, "options of calls");
    oh_data_options data = OH_INIT(oh_data_options);
    oh_rpc_options rpc = OH_INIT(oh_rpc_options);
    oh_remote_track_options remote = OH_INIT(oh_remote_track_options);
    oh_access_token_options grant = OH_INIT(oh_access_token_options);
    oh_subscriber subscriber;
    char token[2048];
    rpc.to = rpc.method = grant.api_key = grant.api_secret = grant.user_id = grant.call_id = "x";
    CHECK_OK(oh_call_get_subscriber(call[1], &subscriber));
    TAKES(oh_data_options, data, oh_call_send_data(call[0], &data, "x", 1));
    TAKES(oh_data_options, data, oh_call_send_text(call[0], &data, "x"));
    TAKES(oh_rpc_options, rpc, oh_call_perform_rpc(call[0], &rpc, NULL));
    TAKES(oh_remote_track_options, remote, oh_subscriber_set_track(subscriber, "x", &remote));
    TAKES(oh_access_token_options, grant, oh_access_token_create(&grant, token, sizeof token, NULL));

    test_step(10, "statistics and a snapshot");
    oh_call_stats stats = OH_INIT(oh_call_stats);
    oh_track_stats local_stats = OH_INIT(oh_track_stats);
    oh_remote_track_stats remote_stats = OH_INIT(oh_remote_track_stats);
    const oh_participants *all;
    PLANT(stats);
    PLANT(local_stats);
    PLANT(remote_stats);
    CHECK_OK(oh_call_get_stats(call[1], &stats));
    CHECK_OK(oh_track_get_stats(track, &local_stats));
    CHECK_OK(oh_call_get_participants(call[1], &all));
    KNOWN(oh_participants, all);
    CHECK_EQ(all->participant_count, 2);
    CHECK(all->participants[0]->local && !all->participants[1]->local);
    for (size_t i = 0; i < 2; i++) check_participant(all->participants[i]);
    CHECK_STR(all->participants[1]->user_id, "ann");
    CHECK_EQ(all->participants[1]->track_count, 1);
    const oh_track_info *hers = all->participants[1]->tracks[0];
    CHECK(hers->received && !hers->muted);
    CHECK_OK(oh_subscriber_get_track_stats(subscriber, hers->session_id, hers->track_id, hers->source, &remote_stats));
    CHECK_OH(oh_subscriber_get_track_stats(subscriber, "nobody", NULL, OH_SOURCE_MICROPHONE, &remote_stats), OH_ERR_EMPTY);
    CHECK(stats.size == sizeof stats - MORE && local_stats.size == sizeof local_stats - MORE && remote_stats.size == sizeof remote_stats - MORE);
    CHECK(stats.packets_received > 0 && local_stats.packets_sent > 0 && local_stats.published && remote_stats.packets_received > 0);
    CHECK(remote_stats.frames_played > 0 && remote_stats.source == OH_SOURCE_MICROPHONE);
#ifdef OH_PLANTED
    CHECK(stats.planted_number == 1 && local_stats.planted_number == 1 && remote_stats.planted_number == 1);
#endif
    oh_participants_free(all);
    oh_participants_free(NULL);
    oh_participants_free((const oh_participants *)&stats);

    test_step(20, "the end");
    for (int i = 0; i < 2; i++) {
        CHECK_OK(oh_call_leave(call[i], NULL));
        CHECK_OK(oh_call_wait_state(call[i], OH_STATE_LEFT, ms(5000)));
        CHECK_EQ(atomic_load(&side[i].ended), 1);
        CHECK(atomic_load(&side[i].states) > 1 && atomic_load(&side[i].joined) == 1);
        oh_client_free(client[i]);
    }
    CHECK_EQ(atomic_load(&destroyed), 2);
    CHECK(atomic_load(&records) > 0);
    CHECK_OK(oh_log_set(OH_LOG_OFF, NULL, NULL, NULL));
    return test_end();
}

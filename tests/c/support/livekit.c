/* livekit.c - see livekit.h. */
#include "livekit.h"
#include "check.h"
#include "ctl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int livekit_node = -1, livekit_first = 0, livekit_direct = 0;

static const char *stand(void)
{
    const char *line = getenv("OFFHOOK_LIVEKIT");
    if (!line || *line != '{') FAIL("OFFHOOK_LIVEKIT must hold the stand's first line");
    return line;
}

int on_livekit(void)
{
    return getenv("OFFHOOK_LIVEKIT") != NULL;
}

int livekit_nodes(void)
{
    return json_count(stand(), "nodes");
}

const char *livekit_url(void)
{
    static _Thread_local char urls[1024];
    int nodes = livekit_nodes(), count = livekit_node < 0 ? nodes : 1;
    urls[0] = 0;
    for (int i = 0; i < count; i++) {
        char path[32], url[128];
        int n = livekit_node < 0 ? (livekit_first + i) % nodes : livekit_node;
        snprintf(path, sizeof path, "nodes/#%d/%s", n, livekit_direct ? "direct" : "url");
        json_text(stand(), path, url, sizeof url);
        CHECK_THAT(url[0], "the stand has no node %d", n);
        snprintf(urls + strlen(urls), sizeof urls - strlen(urls), "%s%s", i ? " " : "", url);
    }
    return urls;
}

void livekit_token(const char *user, const char *room, const oh_access_token_options *options, char *buf, size_t size)
{
    char key[256], secret[256];
    oh_access_token_options o = OH_INIT(oh_access_token_options);
    if (options) o = *options;
    else o.allow_set_attributes = 1;
    json_text(stand(), "key", key, sizeof key);
    json_text(stand(), "secret", secret, sizeof secret);
    o.api_key = key;
    o.api_secret = secret;
    o.user_id = user;
    o.call_id = room;
    if (!o.ttl_s) o.ttl_s = 3600;
    CHECK_OK(oh_access_token_create(&o, buf, size, NULL));
}

long long livekit_identity(const char *user, const char *field)
{
    char path[256], *state = ctl_state();
    snprintf(path, sizeof path, "identities/?identity=%s/%s", user, field);
    long long value = json_int(state, path, -1);
    free(state);
    return value;
}

long long livekit_identity_wait(const char *user, const char *field, long long value, unsigned timeout_ms)
{
    long long seen;
    for (double end = now_ms() + timeout_ms;; nap(10)) {
        seen = livekit_identity(user, field);
        if (seen >= value) return seen;
        if (now_ms() > end) break;
    }
    FAIL("%s of %s is %lld, not yet %lld after %u ms", field, user, seen, value, timeout_ms);
}

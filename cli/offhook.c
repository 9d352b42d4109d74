/*
 * offhook.c - the program "offhook": tools for people who run calls.
 *
 * Subcommands: doctor, which finds out why a call does not connect (oh_diagnose). It contains the library, so that the
 * one file can be copied to the machine in question. Exit codes: 0 all is well, 1 something failed, 2 wrong usage.
 */
#include <offhook.h>

#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FAILED = 1, USAGE = 2, MAX_SERVERS = 16, MAX_TOKEN = 64 << 10 };

/* Lines of these come from the steps of a diagnosis. */
#define STEP_OF "offhook::diagnose::journal: "

static const char help[] =
    "usage: offhook doctor URL [OPTIONS]\n"
    "       offhook --version | --help\n"
    "\n"
    "doctor: find out why a call does not connect. URL is that of oh_client_options: wss://sfu.example.com for a LiveKit\n"
    "server, https://video.example.com for a Stream coordinator.\n"
    "\n"
    "  --protocol livekit|stream  if the URL does not tell\n"
    "  --token TOKEN              the user's token; better: OFFHOOK_TOKEN, or\n"
    "  --token-file FILE          a file that holds it; - is standard input\n"
    "  --api-key KEY              the application's key\n"
    "  --api-secret SECRET        LiveKit: make a token for --call; better: OFFHOOK_API_SECRET\n"
    "  --user ID                  the user, if the token does not name one\n"
    "  --call ID                  join this call for a moment, without audio, to check media\n"
    "  --call-type TYPE           Stream: its type (default)\n"
    "  --ice-server URL[,USER,PASSWORD]\n"
    "                             check this STUN or TURN server, too; up to 16 times; better with a password: the\n"
    "                             variable OFFHOOK_ICE_SERVERS, with blanks between servers\n"
    "  --proxy URL                proxy; none: no proxy; without it HTTPS_PROXY and so on are used\n"
    "  --ca-file FILE             certificates to trust besides those of the system\n"
    "  --allow-insecure           permit http and ws to other machines\n"
    "  --interfaces NAMES         network interfaces for media, with commas between\n"
    "  --ip 4|6                   IP version for media\n"
    "  --relay-only               media only through TURN servers\n"
    "  --timeout S                longest time in seconds, 1 to 600 (20)\n"
    "  --json                     print the report as JSON\n"
    "  --quiet                    do not print steps on standard error while it runs\n"
    "\n"
    "Exit code: 0 nothing failed, 1 something failed, 2 wrong usage.\n";

/* What the handler and the program share. */
typedef struct result {
    pthread_mutex_t lock;
    pthread_cond_t done;
    char *text;
    int finished;
    int failed;
    int json;
} result;

static int wrong(const char *format, const char *what)
{
    fputs("offhook: ", stderr);
    fprintf(stderr, format, what);
    fputs("\nTry offhook --help\n", stderr);
    return USAGE;
}

static char *copy(const char *text)
{
    char *made = strdup(text);
    if (!made) {
        fputs("offhook: out of memory\n", stderr);
        exit(FAILED);
    }
    return made;
}

/* Takes a secret from the command line: a copy, and x in its place, so that it is not in the list of processes. */
static char *take(char *argument)
{
    char *made = copy(argument);
    memset(argument, 'x', strlen(argument));
    return made;
}

/* The first word of a file; NULL with a message. */
static char *read_token(const char *path)
{
    char *text = malloc(MAX_TOKEN + 1);
    FILE *file = strcmp(path, "-") ? fopen(path, "rb") : stdin;
    size_t length;
    if (!text || !file) {
        fprintf(stderr, "offhook: %s: %s\n", path, strerror(errno));
        free(text);
        return NULL;
    }
    length = fread(text, 1, MAX_TOKEN + 1, file);
    if (file != stdin) fclose(file);
    if (length == 0 || length > MAX_TOKEN) {
        fprintf(stderr, "offhook: %s: %s\n", path, length ? "too large for a token" : "it is empty, or cannot be read");
        free(text);
        return NULL;
    }
    text[length] = 0;
    return text;
}

/* URL[,USER,PASSWORD]; the password may have commas. The text is the server's from now on. */
static oh_ice_server *ice_server(char *text)
{
    oh_ice_server *server = calloc(1, sizeof *server);
    char *comma = strchr(text, ',');
    if (!server) exit(FAILED);
    oh_struct_init(server, sizeof *server);
    server->url = text;
    if (comma) {
        *comma = 0;
        server->username = comma + 1;
        comma = strchr(comma + 1, ',');
        if (comma) {
            *comma = 0;
            server->password = comma + 1;
        }
    }
    return server;
}

static void on_step(void *user_data, const oh_log_record *record)
{
    (void)user_data;
    if (!strncmp(record->text, STEP_OF, strlen(STEP_OF))) fprintf(stderr, "%s\n", record->text + strlen(STEP_OF));
}

static void on_result(void *user_data, const oh_diagnosis *diagnosis)
{
    result *r = user_data;
    char *text = copy(r->json ? diagnosis->report_json : diagnosis->text);
    pthread_mutex_lock(&r->lock);
    r->text = text;
    r->failed = diagnosis->steps_failed > 0 || diagnosis->incomplete;
    pthread_mutex_unlock(&r->lock);
}

static void on_destroy(void *user_data)
{
    result *r = user_data;
    pthread_mutex_lock(&r->lock);
    r->finished = 1;
    pthread_cond_signal(&r->done);
    pthread_mutex_unlock(&r->lock);
}

/* A token for one call; NULL with a message. */
static char *make_token(const char *key, const char *secret, const char *user, const char *call)
{
    oh_access_token_options options = OH_INIT(oh_access_token_options);
    static char token[MAX_TOKEN];
    options.api_key = key;
    options.api_secret = secret;
    options.user_id = user;
    options.call_id = call;
    options.ttl_s = 600;
    if (oh_access_token_create(&options, token, sizeof token, NULL)) {
        char why[512];
        oh_get_last_error(why, sizeof why);
        fprintf(stderr, "offhook: %s\n", why);
        return NULL;
    }
    return token;
}

static int doctor(int argc, char **argv)
{
    enum { PROTOCOL = 256, TOKEN, TOKEN_FILE, API_KEY, API_SECRET, USER, CALL, CALL_TYPE, ICE_SERVER, PROXY, CA_FILE,
           INSECURE, INTERFACES, IP, RELAY_ONLY, TIMEOUT, JSON, QUIET, HELP };
    static const struct option names[] = {
        { "protocol", required_argument, NULL, PROTOCOL }, { "token", required_argument, NULL, TOKEN },
        { "token-file", required_argument, NULL, TOKEN_FILE }, { "api-key", required_argument, NULL, API_KEY },
        { "api-secret", required_argument, NULL, API_SECRET }, { "user", required_argument, NULL, USER },
        { "call", required_argument, NULL, CALL }, { "call-type", required_argument, NULL, CALL_TYPE },
        { "ice-server", required_argument, NULL, ICE_SERVER }, { "proxy", required_argument, NULL, PROXY },
        { "ca-file", required_argument, NULL, CA_FILE }, { "allow-insecure", no_argument, NULL, INSECURE },
        { "interfaces", required_argument, NULL, INTERFACES }, { "ip", required_argument, NULL, IP },
        { "relay-only", no_argument, NULL, RELAY_ONLY }, { "timeout", required_argument, NULL, TIMEOUT },
        { "json", no_argument, NULL, JSON }, { "quiet", no_argument, NULL, QUIET }, { "help", no_argument, NULL, HELP },
        { NULL, 0, NULL, 0 },
    };
    oh_client_options client = OH_INIT(oh_client_options);
    oh_diagnose_options options = OH_INIT(oh_diagnose_options);
    const oh_ice_server *servers[MAX_SERVERS];
    result r = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, NULL, 0, 0, 0 };
    const char *secret = getenv("OFFHOOK_API_SECRET"), *user = NULL;
    char *more = getenv("OFFHOOK_ICE_SERVERS"), *end;
    int option, quiet = 0;
    long seconds;

    client.token = getenv("OFFHOOK_TOKEN");
    if (client.token && !*client.token) client.token = NULL;
    while ((option = getopt_long(argc, argv, "h", names, NULL)) != -1) {
        switch (option) {
        case PROTOCOL:
            if (!strcmp(optarg, "livekit")) client.protocol = OH_PROTOCOL_LIVEKIT;
            else if (!strcmp(optarg, "stream")) client.protocol = OH_PROTOCOL_STREAM;
            else return wrong("--protocol must be livekit or stream, not '%s'", optarg);
            break;
        case TOKEN: client.token = take(optarg); break;
        case TOKEN_FILE:
            client.token = read_token(optarg);
            if (!client.token) return USAGE;
            break;
        case API_KEY: client.api_key = optarg; break;
        case API_SECRET: secret = take(optarg); break;
        case USER: user = optarg; break;
        case CALL: options.call_id = optarg; break;
        case CALL_TYPE: options.call_type = optarg; break;
        case ICE_SERVER:
            if (options.ice_server_count == MAX_SERVERS) return wrong("%s", "more than 16 ICE servers");
            servers[options.ice_server_count++] = ice_server(take(optarg));
            break;
        case PROXY: client.proxy = take(optarg); break;
        case CA_FILE: client.ca_file = optarg; break;
        case INSECURE: client.allow_insecure = 1; break;
        case INTERFACES: client.interfaces = optarg; break;
        case IP:
            if (!strcmp(optarg, "4")) client.ip_family = OH_IP_V4;
            else if (!strcmp(optarg, "6")) client.ip_family = OH_IP_V6;
            else return wrong("--ip must be 4 or 6, not '%s'", optarg);
            break;
        case RELAY_ONLY: client.relay_only = 1; break;
        case TIMEOUT:
            seconds = strtol(optarg, &end, 10);
            if (*end || end == optarg || seconds < 1 || seconds > 600)
                return wrong("--timeout must be 1 to 600 seconds, not '%s'", optarg);
            options.timeout_ms = (uint32_t)seconds * 1000;
            break;
        case JSON: r.json = 1; break;
        case QUIET: quiet = 1; break;
        case HELP: case 'h': fputs(help, stdout); return 0;
        default: return wrong("%s", "see the usage of doctor");
        }
    }
    if (optind == argc) return wrong("%s", "the URL is missing");
    if (optind + 1 < argc) return wrong("'%s' is one argument too many", argv[optind + 1]);
    client.url = argv[optind];
    client.user_id = user;
    more = more ? copy(more) : NULL;
    for (char *one = more ? strtok(more, " \t\r\n") : NULL; one; one = strtok(NULL, " \t\r\n")) {
        if (options.ice_server_count == MAX_SERVERS) return wrong("%s", "more than 16 ICE servers");
        servers[options.ice_server_count++] = ice_server(one);
    }
    if (!client.token && client.api_key && secret && *secret) {
        if (!options.call_id) return wrong("%s", "--api-secret makes a token for a call: --call is missing");
        client.token = make_token(client.api_key, secret, user ? user : "offhook-doctor", options.call_id);
        if (!client.token) return USAGE;
    }
    options.client = &client;
    options.ice_servers = options.ice_server_count ? servers : NULL;

    if (!quiet) oh_log_set(OH_LOG_INFO, on_step, NULL, NULL);
    if (oh_diagnose(&options, on_result, &r, on_destroy)) {
        char why[1024];
        oh_get_last_error(why, sizeof why);
        fprintf(stderr, "offhook: %s\n", why);
        return USAGE;
    }
    pthread_mutex_lock(&r.lock);
    while (!r.finished) pthread_cond_wait(&r.done, &r.lock);
    pthread_mutex_unlock(&r.lock);
    oh_log_set(OH_LOG_OFF, NULL, NULL, NULL);
    if (!quiet) fputc('\n', stderr);
    printf("%s%s", r.text ? r.text : "", r.json ? "\n" : "");
    free(r.text);
    oh_shutdown_wait(2500);
    return fflush(stdout) || r.failed ? FAILED : 0;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fputs(help, stderr);
        return USAGE;
    }
    if (!strcmp(argv[1], "--version")) {
        printf("offhook %s\n", oh_get_version());
        return 0;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
        fputs(help, stdout);
        return 0;
    }
    if (!strcmp(argv[1], "doctor")) return doctor(argc - 1, argv + 1);
    return wrong("there is no subcommand '%s'", argv[1]);
}

// call.cpp - a whole program: joins a call, plays a tone, receives the others, prints events, and leaves on Enter,
// Ctrl-C or after --seconds.
//
//   call --url http://127.0.0.1:PORT --user alice --call demo [--tone 440] [--seconds 10]
//   call --livekit ws://127.0.0.1:PORT --token T [--tone 440] [--seconds 10]
#include <offhook/offhook.hpp>

#include <atomic>
#include <cerrno>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <poll.h>
#include <sys/signalfd.h>
#include <thread>
#include <unistd.h>

using namespace std::chrono_literals;
namespace events = offhook::events;

namespace {

struct arguments {
    offhook::client_options where;
    offhook::call_options what;
    double hz = 0; // 0: no tone
    double seconds = 0;
};

int usage(std::FILE *to, const char *name)
{
    std::fprintf(to, "usage: %s --url URL --user NAME --call ID [--token T] [--tone HZ] [--seconds N]\n"
                     "   or: %s --livekit URL --token T [...]: user and call are those of the token\n", name, name);
    return 2;
}

/// Prints an event; called on a thread of the library.
void print_event(offhook::call_ref call, const offhook::event &event)
{
    std::printf("%7.2f s  ", static_cast<double>(event.at.count()) / 1e3);
    std::visit(offhook::overloaded{
                   [](const events::state &e) { std::printf("state %s\n", offhook::to_string(e.state)); },
                   [](const events::joined &e) { std::printf("joined in %lld ms\n", static_cast<long long>(e.join_time.count())); },
                   [](const events::participant_joined &e) { std::printf("%s joined\n", e.user_id.c_str()); },
                   [](const events::participant_left &e) { std::printf("%s left\n", e.user_id.c_str()); },
                   [](const events::track_published &e) { std::printf("%s publishes a track\n", e.user_id.c_str()); },
                   [](const events::track_unpublished &e) { std::printf("a track of %s has ended\n", e.user_id.c_str()); },
                   [](const events::error &e) { std::printf("%s: %s\n", offhook::to_string(e.error), e.text.c_str()); },
                   [](const events::local_track_failed &e) { std::printf("not published: %s\n", e.text.c_str()); },
                   [](const events::ended &e) { std::printf("over: %s\n", e.text.c_str()); },
                   [&](const events::token_needed &) {
                       std::printf("the token has expired, and there is no other\n");
                       (void)call.refuse_token();
                   },
                   [&](const auto &) { std::printf("%s\n", offhook::to_string(event.kind)); },
               },
               event.data);
    std::fflush(stdout);
}

/// Plays the tone until the track ends: its owner closes it, or the call ends.
void play(const offhook::track &mic, double hz)
{
    std::vector<std::int16_t> pcm(960);
    for (double phase = 0;;) {
        for (auto &sample : pcm) {
            sample = static_cast<std::int16_t>(8000 * std::sin(phase));
            phase = std::fmod(phase + 6.283185307179586 * hz / 48000, 6.283185307179586);
        }
        // The library sends at its own pace: wait for room, then write.
        if (!mic.wait_writable(960, offhook::forever) || !mic.write(pcm)) return;
    }
}

int run(const arguments &a)
{
    // Ctrl-C becomes a descriptor to poll; blocked before the library's threads start, so that they inherit it.
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    const int interrupted = signalfd(-1, &signals, SFD_CLOEXEC);

    std::atomic<unsigned> received{0};
    std::atomic<bool> over{false};
    offhook::call_handlers handlers;
    handlers.on_event = [&](offhook::call_ref call, const offhook::event &event) {
        if (!event.get<events::audio_level>()) print_event(call, event);
        if (event.get<events::ended>()) over = true;
    };
    handlers.on_audio = [&](offhook::call_ref, const offhook::audio_view &audio) { received += !audio.silence && !audio.concealed; };
    handlers.on_exception = [](offhook::call_ref, std::exception_ptr) { std::fprintf(stderr, "a handler threw\n"); };

    // Declared after the variables of the handlers, so that the call is closed before they are destroyed.
    auto client = offhook::client::create(a.where).value();
    auto call = client.join(a.what, handlers).value();
    call.wait_state(offhook::call_state::joined, 15s).value();

    offhook::track mic;
    std::thread player;
    if (a.hz > 0) {
        mic = call.publish_audio().value();
        player = std::thread(play, std::cref(mic), a.hz);
    }
    std::printf("in the call; Enter or Ctrl-C leaves\n");
    std::fflush(stdout);
    const auto began = std::chrono::steady_clock::now();
    pollfd waits[] = {{interrupted, POLLIN, 0}, {a.seconds > 0 ? -1 : STDIN_FILENO, POLLIN, 0}};
    while (!over) {
        const int n = poll(waits, 2, 100);
        if (n > 0 || (n < 0 && errno != EINTR)) break;
        if (a.seconds > 0 && std::chrono::steady_clock::now() - began > std::chrono::duration<double>(a.seconds)) break;
    }

    call.leave("bye").value();
    (void)call.wait_state(offhook::call_state::left, 3s);
    mic.close(); // ends the player, unless the end of the call has ended it
    if (player.joinable()) player.join();
    const auto stats = call.stats().value();
    std::printf("received %u frames, sent %llu packets, received %llu\n", received.load(),
                static_cast<unsigned long long>(stats.packets_sent), static_cast<unsigned long long>(stats.packets_received));
    return 0;
}

} // namespace

int main(int argc, char **argv)
{
    arguments a;
    a.where.token = "development"; // a real service wants the user's JWT
    for (int i = 1; i < argc; i++) {
        const std::string option = argv[i];
        if (option == "--help") return usage(stdout, argv[0]), 0;
        if (i + 1 == argc) return usage(stderr, argv[0]);
        const char *value = argv[++i];
        if (option == "--url") a.where.url = value;
        else if (option == "--livekit") a.where.url = value, a.where.protocol = offhook::protocol::livekit;
        else if (option == "--user") a.where.user_id = value;
        else if (option == "--token") a.where.token = value;
        else if (option == "--call") a.what.call_id = value;
        else if (option == "--tone") a.hz = std::atof(value);
        else if (option == "--seconds") a.seconds = std::atof(value);
        else return usage(stderr, argv[0]);
    }
    if (a.where.url.empty()) return usage(stderr, argv[0]);
    try {
        return run(a);
    } catch (const std::exception &e) {
        std::fprintf(stderr, "%s\n", e.what());
        return 1;
    }
}

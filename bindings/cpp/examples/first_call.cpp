// first_call.cpp - plays a tone until a second of another participant was received, or the time is up. URL NAME [SECONDS]
#include <offhook/offhook.hpp>

#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>

using namespace std::chrono_literals;

static std::string setting(const char *name, const char *otherwise)
{
    const char *value = std::getenv(name);
    return value ? value : otherwise;
}

int main(int argc, char **argv)
try {
    offhook::client_options where;
    offhook::call_options what;
    const int seconds = argc > 3 ? std::atoi(argv[3]) : 20;
    where.url = argc > 1 ? argv[1] : "http://127.0.0.1:8080";
    where.user_id = argc > 2 ? argv[2] : "alice";
    where.token = "development"; // a real service wants the user's JWT, made by your server
    what.call_id = "standup";
    if (where.url.rfind("ws", 0) == 0) { // LiveKit; without the settings that of `livekit-server --dev`
        offhook::access_token_options who;
        who.api_key = setting("LIVEKIT_API_KEY", "devkey");
        who.api_secret = setting("LIVEKIT_API_SECRET", "secret"); // on your server, never in a client
        who.user_id = where.user_id;
        who.call_id = what.call_id;
        where.token = offhook::create_access_token(who).value();
        where.protocol = offhook::protocol::livekit;
    }
    auto client = offhook::client::create(where).value();

    std::atomic<int> received{0}; // frames of 20 ms
    offhook::call_handlers handlers;
    handlers.on_event = [](offhook::call_ref, const offhook::event &event) {
        if (auto *who = event.get<offhook::events::participant_joined>()) std::printf("%s joined\n", who->user_id.c_str());
        if (auto *who = event.get<offhook::events::participant_left>()) std::printf("%s left\n", who->user_id.c_str());
        if (auto *end = event.get<offhook::events::ended>()) std::printf("over: %s\n", end->text.c_str());
    };
    handlers.on_audio = [&received](offhook::call_ref, const offhook::audio_view &audio) {
        if (!audio.silence && ++received == 50) std::printf("a second of %.*s\n", int(audio.user_id.size()), audio.user_id.data());
    };

    auto call = client.join(what, handlers).value(); // at once; what follows waits for it
    call.wait_state(offhook::call_state::joined, 10s).value();
    std::printf("joined; waiting %d s at most for audio of another participant: start a second one with another name\n", seconds);

    auto mic = call.publish_audio().value(); // mono, 48000 Hz
    std::vector<std::int16_t> pcm(960);      // 20 ms
    double phase = 0;
    for (int left = seconds * 50; left > 0; left--) {
        if (received >= 50 && left > 100) left = 100; // two seconds more, so that the other receives enough as well
        for (auto &sample : pcm) sample = std::int16_t(8000 * std::sin(phase += 0.0576)); // 440 Hz
        mic.wait_writable(960, 10s).value();
        mic.write(pcm).value();
    }
    call.leave("bye").value(); // what was written is still sent
    call.wait_state(offhook::call_state::left, 3s).value();
    if (received >= 50) return 0;
    std::printf("no audio was received\n");
    return 1;
} catch (const offhook::exception &e) {
    std::fprintf(stderr, "%s\n", e.what()); // for instance "OH_ERR_NETWORK: ..."
    return 1;
}

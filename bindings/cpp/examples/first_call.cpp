// first_call.cpp - joins a call, tells who comes and goes, plays a second of a tone, leaves.
#include <offhook/offhook.hpp>

#include <cmath>
#include <cstdio>

using namespace std::chrono_literals;

int main(int argc, char **argv)
try {
    offhook::client_options where;
    where.url = argc > 1 ? argv[1] : "http://127.0.0.1:8080";
    where.user_id = argc > 2 ? argv[2] : "alice";
    where.token = "development"; // a real service wants the user's JWT
    auto client = offhook::client::create(where).value();

    offhook::call_handlers handlers;
    handlers.on_event = [](offhook::call_ref, const offhook::event &event) {
        if (auto *who = event.get<offhook::events::participant_joined>()) std::printf("%s is here\n", who->user_id.c_str());
        if (auto *who = event.get<offhook::events::participant_left>()) std::printf("%s is gone\n", who->user_id.c_str());
        if (auto *end = event.get<offhook::events::ended>()) std::printf("over: %s\n", end->reason.c_str());
    };
    handlers.on_audio = [](offhook::call_ref, const offhook::audio_view &sound) {
        if (!sound.silence) std::printf("%.*s says something\n", int(sound.user_id.size()), sound.user_id.data());
    };

    offhook::call_options what;
    what.id = "standup";
    auto call = client.join(what, handlers).value(); // at once; what follows waits for it
    call.wait(offhook::call_state::joined, 10s).value();

    auto mic = call.publish_audio().value(); // mono, 48000 Hz
    std::vector<std::int16_t> pcm(960);      // 20 ms
    double phase = 0;
    for (int n = 0; n < 50; n++) {
        for (auto &sample : pcm) sample = std::int16_t(8000 * std::sin(phase += 0.0576)); // 440 Hz
        mic.wait(960, 10s).value();
        mic.write(pcm).value();
    }
    call.leave("bye").value();
    call.wait(offhook::call_state::left, 3s).value();
} catch (const offhook::exception &e) {
    std::fprintf(stderr, "%s\n", e.what()); // for instance "OH_ERR_NETWORK: ..."
    return 1;
}

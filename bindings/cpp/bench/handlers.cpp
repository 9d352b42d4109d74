// handlers.cpp - the overhead of the C++ binding for an event and a 20 ms frame, from the callback to the handler.
//
//   handlers_bench [SECONDS]       beside a development SFU: scripts/with-sfu.sh; benches/handlers.c is the same in C
//
// A hundred calls (u0..u99, ten rooms of ten), one sender per room, all receive. Measured, per callback of the
// library: from its entry to the entry of the application's handler (frame_ns, event_ns), and until it returns
// (frame_return_ns, event_return_ns), with a handler that only reads the clock. frame_again_ns is the same for an
// immediate second call: the difference is code and data that other calls and codecs have evicted from the caches
// since the previous frame, 20 ms before. The path from the library's queue to the callback is not measurable from
// outside: the library gives no time of delivery.
// allocations_per_frame counts operator new within the callback of a frame: that is all of the binding.
// late: frames that arrived more than 60 ms after the previous one of the same sender in the same call.
#include <offhook/offhook.hpp>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <new>
#include <thread>
#include <time.h>

using namespace std::chrono_literals;

static thread_local std::uint64_t allocations = 0;

void *operator new(std::size_t size)
{
    allocations++;
    if (void *p = std::malloc(size ? size : 1)) return p;
    throw std::bad_alloc();
}
void operator delete(void *p) noexcept { std::free(p); }
void operator delete(void *p, std::size_t) noexcept { std::free(p); }

namespace {

std::int64_t now_ns()
{
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * std::int64_t{1000000000} + t.tv_nsec;
}

struct samples {
    std::vector<std::uint32_t> entry, back;
    samples() { entry.reserve(1 << 13), back.reserve(1 << 13); }
};

/// One of a hundred calls. Callbacks of one call run one at a time, so no lock is needed.
struct measured {
    samples frames, events, again;
    std::uint64_t frame_allocations = 0, late = 0;
    std::int64_t entered = 0; ///< when the handler was entered
    std::int64_t last = 0;
    std::unique_ptr<offhook::detail::handler_box> box;
    offhook::client client;
    offhook::call call;
    offhook::track mic;

    static void on_event(void *user_data, oh_call call, const oh_event *event)
    {
        auto *m = static_cast<measured *>(user_data);
        const std::int64_t began = now_ns();
        offhook::detail::handler_box::on_event(m->box.get(), call, event);
        const std::int64_t ended = now_ns();
        m->events.entry.push_back(static_cast<std::uint32_t>(m->entered - began));
        m->events.back.push_back(static_cast<std::uint32_t>(ended - began));
    }

    static void on_audio(void *user_data, oh_call call, const oh_audio_frame *audio)
    {
        auto *m = static_cast<measured *>(user_data);
        const std::uint64_t before = allocations;
        const std::int64_t began = now_ns();
        offhook::detail::handler_box::on_audio(m->box.get(), call, audio);
        const std::int64_t ended = now_ns();
        m->frame_allocations += allocations - before;
        m->frames.entry.push_back(static_cast<std::uint32_t>(m->entered - began));
        m->frames.back.push_back(static_cast<std::uint32_t>(ended - began));
        const std::int64_t second = now_ns();
        offhook::detail::handler_box::on_audio(m->box.get(), call, audio);
        m->again.entry.push_back(static_cast<std::uint32_t>(m->entered - second));
        m->late += m->last && began - m->last > 60000000; // one sender per room
        m->last = began;
    }
};

std::string figure(std::vector<std::uint32_t> &values)
{
    std::sort(values.begin(), values.end());
    auto at = [&](double part) { return values.empty() ? 0u : values[static_cast<std::size_t>(part * static_cast<double>(values.size() - 1))]; };
    return "{\"p50\":" + std::to_string(at(0.5)) + ",\"p99\":" + std::to_string(at(0.99)) + "}";
}

} // namespace

int main(int argc, char **argv)
{
    const double seconds = argc > 1 ? std::atof(argv[1]) : 5;
    const char *url = std::getenv("OFFHOOK_SFU_URL");
    if (!url) return std::fprintf(stderr, "handlers_bench: OFFHOOK_SFU_URL is not set: scripts/with-sfu.sh\n"), 2;

    std::vector<std::unique_ptr<measured>> all;
    for (int i = 0; i < 100; i++) {
        all.push_back(std::make_unique<measured>());
        measured *m = all.back().get();
        offhook::client_options where;
        where.url = url;
        where.user_id = "u" + std::to_string(i);
        where.token = "development";
        m->client = offhook::client::create(where).value();
        // As client::join does it, with a timer around the library's callbacks.
        offhook::call_handlers handlers;
        handlers.on_event = [m](offhook::call_ref, const offhook::event &) { m->entered = now_ns(); };
        handlers.on_audio = [m](offhook::call_ref, const offhook::audio_view &) { m->entered = now_ns(); };
        m->box = std::make_unique<offhook::detail::handler_box>(std::move(handlers));
        oh_call_options c = OH_INIT(oh_call_options);
        oh_call_handlers callbacks = OH_INIT(oh_call_handlers);
        const std::string id = "bench-cpp-" + std::to_string(i / 10);
        c.call_id = id.c_str();
        callbacks.on_event = &measured::on_event;
        callbacks.on_audio = &measured::on_audio;
        callbacks.user_data = m;
        c.handlers = &callbacks;
        oh_call call;
        if (oh_call_join(m->client.handle(), &c, &call)) offhook::detail::raise(offhook::detail::last_error(OH_ERR_STATE));
        m->call = offhook::call(call);
    }
    for (auto &m : all) m->call.wait_state(offhook::call_state::joined, 30s).value();

    std::vector<std::int16_t> pcm(960);
    for (std::size_t i = 0; i < pcm.size(); i++) pcm[i] = static_cast<std::int16_t>(9830 * std::sin(6.283185307179586 * 440 * static_cast<double>(i) / 48000));
    offhook::audio_track_options options;
    options.no_dtx = true;
    for (std::size_t i = 0; i < all.size(); i += 10) all[i]->mic = all[i]->call.publish_audio(options).value();
    std::atomic<bool> stop{false};
    std::thread writer([&] { // one thread for the ten senders: each has a buffer of 200 ms
        while (!stop) {
            for (std::size_t i = 0; i < all.size(); i += 10)
                while (all[i]->mic.wait_writable(960, 0ms)) (void)all[i]->mic.write(pcm);
            std::this_thread::sleep_for(20ms);
        }
    });
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
    stop = true;
    writer.join();

    samples frames, events, again;
    std::uint64_t made = 0, late = 0, dropped = 0;
    for (auto &m : all) {
        dropped += m->call.stats().value().audio_frames_dropped;
        m->call.close(); // no callback runs afterwards
        for (auto part : {std::pair(&frames, &m->frames), std::pair(&events, &m->events), std::pair(&again, &m->again)}) {
            part.first->entry.insert(part.first->entry.end(), part.second->entry.begin(), part.second->entry.end());
            part.first->back.insert(part.first->back.end(), part.second->back.begin(), part.second->back.end());
        }
        made += m->frame_allocations;
        late += m->late;
    }
    const double count = static_cast<double>(std::max<std::size_t>(1, frames.entry.size()));
    std::printf("{\"language\":\"C++\",\"frames\":%zu,\"events\":%zu,\"frame_ns\":%s,\"frame_return_ns\":%s,\"event_ns\":%s,"
                "\"event_return_ns\":%s,\"frame_again_ns\":%s,\"allocations_per_frame\":%.4f,\"late\":%llu,\"dropped\":%llu,"
                "\"not_measured\":\"from the library's queue to its callback; allocations of the library itself\"}\n",
                frames.entry.size(), events.entry.size(), figure(frames.entry).c_str(), figure(frames.back).c_str(),
                figure(events.entry).c_str(), figure(events.back).c_str(), figure(again.entry).c_str(),
                static_cast<double>(made) / count,
                static_cast<unsigned long long>(late), static_cast<unsigned long long>(dropped));
    return frames.entry.empty() ? 1 : 0;
}

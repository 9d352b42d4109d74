// peer.cpp - see peer.hpp.
#include "peer.hpp"

#include <cmath>

static constexpr double two_pi = 6.283185307179586;

double tone_share(const std::vector<float> &samples, double hz, double rate)
{
    const double k = 2 * std::cos(two_pi * hz / rate);
    double a = 0, b = 0, energy = 0;
    for (float x : samples) {
        const double next = x + k * a - b;
        b = a;
        a = next;
        energy += static_cast<double>(x) * x;
    }
    const double n = static_cast<double>(samples.size());
    return samples.empty() || energy / n < 1e-5 ? 0 : 2 * (a * a + b * b - k * a * b) / (n * energy);
}

offhook::call_handlers recorder::handlers()
{
    offhook::call_handlers h;
    h.on_event = [self = shared_from_this()](offhook::call_ref call, const offhook::event &e) {
        self->enter();
        self->take(e);
        if (self->event_hook) self->event_hook(call, e);
        self->leave();
    };
    h.on_audio = [self = shared_from_this()](offhook::call_ref call, const offhook::audio_view &a) {
        self->enter();
        self->take(a, std::string(a.user_id), a.samples_s16);
        if (self->audio_hook) self->audio_hook(call, a);
        self->leave();
    };
    h.on_exception = [](offhook::call_ref, std::exception_ptr) { FAIL("a handler of the test threw"); };
    return h;
}

void recorder::take(const offhook::event &e)
{
    if (ended_) FAIL("an event comes after the terminal one");
    if (e.get<offhook::events::ended>()) ended_ = true;
    if (e.get<offhook::events::unknown>()) FAIL("an event of a kind that the binding does not know");
    std::lock_guard<std::mutex> lock(mutex_);
    events_.push_back(e);
    changed_.notify_all();
}

void recorder::take(const offhook::audio_info &info, const std::string &user, offhook::span<const std::int16_t> samples)
{
    if (ended_) FAIL("audio arrives after the terminal event");
    CHECK_EQ(samples.size(), info.frames * info.channels);
    std::lock_guard<std::mutex> lock(mutex_);
    received &h = received_[user];
    const auto now = steady::now();
    if (h.frames++) h.gap = std::max(h.gap, now - h.last);
    h.last = now;
    bool loud = false;
    for (std::size_t i = 0; i < samples.size(); i += info.channels) {
        h.filling.push_back(static_cast<float>(samples[i]) / 32768.0f);
        loud |= std::abs(samples[i]) > 330;
    }
    h.loud += loud && !info.silence && !info.concealed;
    if (h.filling.size() >= info.sample_rate_hz / 10) {
        h.window.swap(h.filling);
        h.filling.clear();
        h.windows++;
    }
    changed_.notify_all();
}

std::size_t recorder::mark() const
{
    std::lock_guard<std::mutex> lock(mutex_);
    return events_.size();
}

offhook::event recorder::last() const
{
    std::lock_guard<std::mutex> lock(mutex_);
    if (events_.empty()) FAIL("no event has come");
    return events_.back();
}

std::uint64_t recorder::frames(const std::string &user) const
{
    std::lock_guard<std::mutex> lock(mutex_);
    auto found = received_.find(user);
    return found == received_.end() ? 0 : found->second.frames;
}

std::uint64_t recorder::loud(const std::string &user) const
{
    std::lock_guard<std::mutex> lock(mutex_);
    auto found = received_.find(user);
    return found == received_.end() ? 0 : found->second.loud;
}

std::vector<float> recorder::next_window(const std::string &user, std::chrono::milliseconds limit)
{
    std::unique_lock<std::mutex> lock(mutex_);
    received &h = received_[user];
    const std::uint64_t before = h.windows;
    const auto end = steady::now() + within(limit);
    while (h.windows < before + 2) // the window being filled began earlier
        if (changed_.wait_until(lock, end) == std::cv_status::timeout && h.windows < before + 2) FAIL("no audio of " + user);
    return h.window;
}

void recorder::expect_tone(const std::string &user, double hz, std::chrono::milliseconds limit)
{
    const auto end = steady::now() + within(limit);
    double share = 0;
    while ((share = tone_share(next_window(user, limit), hz, 48000)) < 0.5)
        if (steady::now() > end) FAIL("a tone of " + std::to_string(hz) + " Hz of " + user + " has a share of " + std::to_string(share));
}

std::chrono::milliseconds recorder::gap(const std::string &user) const
{
    std::lock_guard<std::mutex> lock(mutex_);
    auto found = received_.find(user);
    if (found == received_.end() || !found->second.frames) FAIL("no audio was received of " + user);
    const auto now = steady::now() - found->second.last;
    return std::chrono::duration_cast<std::chrono::milliseconds>(std::max(found->second.gap, now));
}

void recorder::gaps_begin()
{
    std::lock_guard<std::mutex> lock(mutex_);
    for (auto &h : received_) h.second.gap = {};
}

tone::tone(const offhook::track &track, double hz)
{
    thread_ = std::thread([this, &track, hz] {
        std::vector<std::int16_t> pcm(960);
        double phase = 0;
        while (!stop_) {
            for (auto &s : pcm) {
                s = static_cast<std::int16_t>(9830 * std::sin(phase));
                phase = std::fmod(phase + two_pi * hz / 48000, two_pi);
            }
            for (bool written = false; !written && !stop_;) {
                auto r = track.wait_writable(960, 100ms);
                if (r) r = track.write(pcm);
                written = r.has_value();
                if (!r && r.code() != offhook::errc::timeout && r.code() != offhook::errc::full) {
                    if (r.code() == offhook::errc::closed || r.code() == offhook::errc::handle) return; // ended
                    FAIL("a tone cannot be written: " + r.error().message());
                }
            }
        }
    });
}

tone::~tone()
{
    stop_ = true;
    thread_.join();
}

stall_watch::stall_watch()
{
    thread_ = std::thread([this] {
        for (auto before = steady::now(); !stop_; before = steady::now()) {
            std::this_thread::sleep_for(5ms);
            const auto late = std::chrono::duration_cast<std::chrono::milliseconds>(steady::now() - before - 5ms).count();
            if (late > longest_) longest_ = late;
        }
    });
}

stall_watch::~stall_watch()
{
    stop_ = true;
    thread_.join();
}

offhook::client_options options_for(const std::string &user)
{
    offhook::client_options where;
    where.url = sfu_url();
    where.user_id = user;
    where.token = "development";
    return where;
}

offhook::client client_for(const std::string &user)
{
    auto made = offhook::client::create(options_for(user));
    CHECK_OK(made);
    return std::move(made).value();
}

void peer::open(const std::string &room, offhook::call_options options)
{
    if (!client) client = client_for(user);
    options.call_id = unique(room);
    auto joined = client.join(options, rec->handlers());
    CHECK_OK(joined);
    call = std::move(joined).value();
}

void peer::join(const std::string &room, const offhook::call_options &options)
{
    open(room, options);
    CHECK_OK(call.wait_state(offhook::call_state::joined, within(10s)));
}

void peer::publish_tone(double hz)
{
    offhook::audio_track_options options;
    options.no_dtx = true; // without pauses, even if the encoder does not take the tone for speech
    auto published = call.publish_audio(options);
    CHECK_OK(published);
    mic = std::move(published).value();
    playing = std::make_unique<tone>(mic, hz);
}

void peer::close()
{
    CHECK_OK(call.leave("bye"));
    const auto ended = EXPECT(*rec, offhook::events::ended, 5s);
    CHECK_EQ(ended.reason, offhook::end_reason::left);
    CHECK_OK(call.wait_state(offhook::call_state::left, within(5s)));
    playing.reset();
    call.close();
    client.close();
}

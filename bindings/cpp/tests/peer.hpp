// peer.hpp - a participant of a test: its client and call, its recorded events and audio, and its tone.
#ifndef TESTS_PEER_HPP
#define TESTS_PEER_HPP

#include "check.hpp"
#include "ctl.hpp"

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

/// Share of a frequency in the energy of samples, 0 to 1 (Goertzel); 0 for silence.
double tone_share(const std::vector<float> &samples, double hz, double rate);

/// Records the events and audio of a call and lets a test wait for them. It checks what holds for every call: one
/// handler at a time, exactly one terminal event, nothing after it.
class recorder : public std::enable_shared_from_this<recorder> {
public:
    /// Called inside the handlers, after recording, without the lock.
    std::function<void(offhook::call_ref, const offhook::event &)> event_hook;
    std::function<void(offhook::call_ref, const offhook::audio_view &)> audio_hook;

    /// Handlers that keep the recorder alive, and record.
    offhook::call_handlers handlers();

    void take(const offhook::event &e);
    void take(const offhook::audio_info &info, const std::string &user, offhook::span<const std::int16_t> samples);

    /// Waits for a T for which `pred` holds, at or after index `from`; fails the test when it does not arrive.
    template <class T, class P> T expect(const char *file, int line, std::chrono::milliseconds limit, P &&pred, std::size_t from = 0)
    {
        std::unique_lock<std::mutex> lock(mutex_);
        const auto end = steady::now() + within(limit);
        for (std::size_t i = from;;) {
            for (; i < events_.size(); i++)
                if (const T *e = events_[i].template get<T>())
                    if (pred(*e)) return *e;
            if (changed_.wait_until(lock, end) == std::cv_status::timeout && i == events_.size())
                fail(file, line, std::string("an event does not come: ") + __PRETTY_FUNCTION__);
        }
    }

    template <class T> std::size_t count() const
    {
        std::lock_guard<std::mutex> lock(mutex_);
        std::size_t n = 0;
        for (const auto &e : events_) n += e.template get<T>() != nullptr;
        return n;
    }

    std::size_t mark() const; ///< the index of the next event
    offhook::event last() const;
    std::uint64_t frames(const std::string &user) const;
    bool has_ended() const { return ended_; }

    /// The next full 100 ms of a user's audio that begin after this call.
    std::vector<float> next_window(const std::string &user, std::chrono::milliseconds limit);
    /// Waits for 100 ms of a user's audio with that tone.
    void expect_tone(const std::string &user, double hz, std::chrono::milliseconds limit);
    /// The longest time between two frames of a user since gaps_begin.
    std::chrono::milliseconds gap(const std::string &user) const;
    void gaps_begin();
    /// The number of frames with audio: neither silence nor concealed.
    std::uint64_t loud(const std::string &user) const;

private:
    struct received {
        std::uint64_t frames = 0, loud = 0, windows = 0;
        std::vector<float> filling, window;
        steady::time_point last{};
        steady::duration gap{};
    };

    void enter() { if (inside_.exchange(true)) FAIL("two handlers of one call run at the same time"); }
    void leave() { inside_ = false; }

    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<offhook::event> events_;
    std::map<std::string, received> received_;
    std::atomic<bool> inside_{false}, ended_{false};
};

#define EXPECT(rec, type, limit) (rec).expect<type>(__FILE__, __LINE__, limit, [](const type &) { return true; })
#define EXPECT_IF(rec, type, limit, ...) (rec).expect<type>(__FILE__, __LINE__, limit, [&]([[maybe_unused]] const type &e) { return (__VA_ARGS__); })
#define EXPECT_FROM(rec, from, type, limit, ...) \
    (rec).expect<type>(__FILE__, __LINE__, limit, [&]([[maybe_unused]] const type &e) { return (__VA_ARGS__); }, from)

/// Plays a tone on a track until it is destroyed, or the track ends.
class tone {
public:
    tone(const offhook::track &track, double hz);
    ~tone();

private:
    std::atomic<bool> stop_{false};
    std::thread thread_;
};

/// The longest time, while this object exists, for which the machine delayed a runnable thread: a longer gap in a
/// call is caused by the library.
class stall_watch {
public:
    stall_watch();
    ~stall_watch();
    std::chrono::milliseconds longest() const { return std::chrono::milliseconds(longest_.load()); }

private:
    std::atomic<bool> stop_{false};
    std::atomic<long long> longest_{0};
    std::thread thread_;
};

offhook::client_options options_for(const std::string &user);
offhook::client client_for(const std::string &user);

struct peer {
    std::string user; ///< made unique from the name
    std::shared_ptr<recorder> rec = std::make_shared<recorder>();
    offhook::client client;
    offhook::call call;
    offhook::track mic;
    std::unique_ptr<tone> playing;

    explicit peer(const std::string &name) : user(unique(name)) {}
    ~peer() { playing.reset(); }

    /// Starts a join; `room` is made unique.
    void open(const std::string &room, offhook::call_options options = {});
    void join(const std::string &room, const offhook::call_options &options = {});
    void publish_tone(double hz);
    /// Leaves, and checks the reason of the end.
    void close();
};

#endif

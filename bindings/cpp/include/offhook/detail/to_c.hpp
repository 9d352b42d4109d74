// to_c.hpp - options as the C functions take them.
#ifndef OFFHOOK_DETAIL_TO_C_HPP
#define OFFHOOK_DETAIL_TO_C_HPP

#include "../options.hpp"
#include "../result.hpp"

#include <list>
#include <string>
#include <vector>

namespace offhook::detail {

/// Turns texts into C strings and remembers the first that a C string cannot hold: one with a NUL inside.
class c_texts {
public:
    /// "" becomes NULL: not given.
    const char *given(const std::string &text, const char *name) { return text.empty() ? nullptr : exact(text, name); }

    const char *exact(const std::string &text, const char *name)
    {
        if (!wrong_ && text.find('\0') != std::string::npos) wrong_ = name;
        return text.c_str();
    }

    /// A list as one text with commas between; none: NULL.
    const char *list(const std::vector<std::string> &names, const char *name)
    {
        if (names.empty()) return nullptr;
        std::string &all = made_.emplace_back();
        for (const std::string &one : names) (all += all.empty() ? "" : ",") += one;
        return exact(all, name);
    }

    result<void> check() const
    {
        if (!wrong_) return {};
        std::string text = wrong_;
        return error(errc::argument, text.append(" has a NUL character inside"));
    }

private:
    const char *wrong_ = nullptr;
    std::list<std::string> made_; // at addresses that stay
};

inline oh_client_options to_c(const client_options &o, c_texts &texts)
{
    oh_client_options c = OH_INIT(oh_client_options);
    c.url = texts.given(o.url, "client_options::url");
    c.api_key = texts.given(o.api_key, "client_options::api_key");
    c.user_id = texts.given(o.user_id, "client_options::user_id");
    c.token = texts.given(o.token, "client_options::token");
    c.ca_file = texts.given(o.ca_file, "client_options::ca_file");
    c.hint_url = texts.given(o.hint_url, "client_options::hint_url");
    c.max_message_bytes = o.max_message_bytes;
    c.protocol = static_cast<oh_protocol>(o.protocol);
    c.allow_insecure = o.allow_insecure;
    c.allow_other_hosts = o.allow_other_hosts;
    c.receive_custom_events = o.receive_custom_events;
    c.proxy = texts.given(o.proxy, "client_options::proxy");
    c.interfaces = texts.list(o.interfaces, "client_options::interfaces");
    c.ip_family = static_cast<oh_ip_family>(o.ip_family);
    c.relay_only = o.relay_only;
    c.media_port_min = o.media_port_min;
    c.media_port_max = o.media_port_max;
    c.dscp = o.dscp;
    return c;
}

/// All but the handlers.
inline oh_call_options to_c(const call_options &o, c_texts &texts)
{
    oh_call_options c = OH_INIT(oh_call_options);
    c.call_id = texts.given(o.call_id, "call_options::call_id");
    c.call_type = texts.given(o.call_type, "call_options::call_type");
    c.token = texts.given(o.token, "call_options::token");
    c.data_json = texts.given(o.data_json, "call_options::data_json");
    c.max_queued_event_bytes = o.max_queued_event_bytes;
    c.max_queued_events = o.max_queued_events;
    c.max_queued_audio_frames = o.max_queued_audio_frames;
    c.audio_sample_rate_hz = o.audio_sample_rate_hz;
    c.audio_channels = o.audio_channels;
    c.audio_format = static_cast<oh_audio_format>(o.audio_format);
    c.audio_min_delay_ms = or_default(o.audio_min_delay);
    c.audio_max_delay_ms = to_ms(o.audio_max_delay);
    c.join_retries = or_default(o.join_retries);
    c.reconnect_timeout_ms = or_default(o.reconnect_timeout);
    c.drain_ms = or_default(o.drain);
    c.no_subscriber = o.no_subscriber;
    c.no_auto_subscribe = o.no_auto_subscribe;
    c.pull_audio = o.pull_audio;
    c.text_parts = o.text_parts;
    c.hold_unmute = o.hold_unmute;
    c.renew_token = o.renew_token;
    c.no_create = o.no_create;
    c.ring = o.ring;
    c.notify = o.notify;
    return c;
}

inline oh_audio_track_options to_c(const audio_track_options &o)
{
    oh_audio_track_options c = OH_INIT(oh_audio_track_options);
    c.source = static_cast<oh_track_source>(o.source);
    c.format = static_cast<oh_audio_format>(o.format);
    c.sample_rate_hz = o.sample_rate_hz;
    c.channels = o.channels;
    c.bitrate_bps = o.bitrate_bps;
    c.complexity = or_default(o.complexity);
    c.buffer_ms = to_ms(o.buffer);
    c.red_frames = or_default(o.red_frames);
    c.music = o.music;
    c.no_dtx = o.no_dtx;
    c.no_fec = o.no_fec;
    c.muted = o.muted;
    c.live = o.live;
    return c;
}

/// `to` keeps the pointers and must live as long as what is returned.
inline oh_data_options to_c(const data_options &o, c_texts &texts, std::vector<const char *> &to)
{
    oh_data_options c = OH_INIT(oh_data_options);
    for (const std::string &user : o.to) to.push_back(texts.exact(user, "data_options::to"));
    c.lossy = o.lossy;
    c.topic = texts.given(o.topic, "data_options::topic");
    c.to = to.empty() ? nullptr : to.data();
    c.to_count = to.size();
    return c;
}

inline oh_rpc_options to_c(const rpc_options &o, c_texts &texts)
{
    oh_rpc_options c = OH_INIT(oh_rpc_options);
    c.timeout_ms = to_ms(o.timeout);
    c.to = texts.given(o.to, "rpc_options::to");
    c.method = texts.given(o.method, "rpc_options::method");
    c.payload = texts.given(o.payload, "rpc_options::payload");
    return c;
}

inline oh_remote_track_options to_c(const remote_track_options &o)
{
    oh_remote_track_options c = OH_INIT(oh_remote_track_options);
    c.unsubscribe = o.unsubscribe;
    c.pause = o.pause;
    c.layer = static_cast<oh_video_layer>(o.layer);
    c.width = o.width;
    c.height = o.height;
    c.max_fps = o.max_fps;
    c.priority = o.priority;
    return c;
}

} // namespace offhook::detail

#endif

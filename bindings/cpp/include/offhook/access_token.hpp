// access_token.hpp - access tokens for protocol::livekit; for servers and tests, because it needs the secret.
#ifndef OFFHOOK_ACCESS_TOKEN_HPP
#define OFFHOOK_ACCESS_TOKEN_HPP

#include "detail/to_c.hpp"
#include "result.hpp"

#include <chrono>
#include <cstddef>
#include <string>

namespace offhook {

/// Who may join which call, and do what there.
struct access_token_options {
    /// The API key of the service. Required.
    std::string api_key;
    /// The secret of the API key. Required; keep it on servers.
    std::string api_secret;
    /// The user id. Required.
    std::string user_id;
    /// The call (room). Required.
    std::string call_id;
    /// The display name.
    std::string name;
    /// The application's own text about the participant.
    std::string metadata;
    /// Names and values as a JSON object of strings.
    std::string attributes_json;
    /// Until the token expires, up to a year; 0: 6 hours.
    std::chrono::seconds ttl{0};
    /// May not publish.
    bool no_publish = false;
    /// May not receive tracks.
    bool no_subscribe = false;
    /// May not send data.
    bool no_data = false;
    /// May call call_ref::set_attributes.
    bool allow_set_attributes = false;
    /// Is not visible to others.
    bool hidden = false;
    /// May administrate the room over the server's own API.
    bool room_admin = false;
};

/// Creates an access token (a JWT). Opens no connection. Any thread. errc::argument.
inline result<std::string> create_access_token(const access_token_options &o)
{
    if (auto r = detail::check_abi(); !r) return r.error();
    detail::c_texts texts;
    oh_access_token_options c = OH_INIT(oh_access_token_options);
    if (o.ttl.count() < 0 || o.ttl.count() > UINT32_MAX) return error(errc::argument, "access_token_options::ttl is out of its range");
    c.ttl_s = static_cast<std::uint32_t>(o.ttl.count());
    c.api_key = texts.given(o.api_key, "access_token_options::api_key");
    c.api_secret = texts.given(o.api_secret, "access_token_options::api_secret");
    c.user_id = texts.given(o.user_id, "access_token_options::user_id");
    c.call_id = texts.given(o.call_id, "access_token_options::call_id");
    c.name = texts.given(o.name, "access_token_options::name");
    c.metadata = texts.given(o.metadata, "access_token_options::metadata");
    c.attributes_json = texts.given(o.attributes_json, "access_token_options::attributes_json");
    c.no_publish = o.no_publish;
    c.no_subscribe = o.no_subscribe;
    c.no_data = o.no_data;
    c.allow_set_attributes = o.allow_set_attributes;
    c.hidden = o.hidden;
    c.room_admin = o.room_admin;
    if (auto r = texts.check(); !r) return r.error();
    std::string token(1023, '\0');
    std::size_t length = 0;
    oh_result code = oh_access_token_create(&c, &token[0], token.size() + 1, &length);
    if (code == OH_ERR_BUFFER) {
        token.resize(length);
        code = oh_access_token_create(&c, &token[0], token.size() + 1, &length);
    }
    if (code != OH_OK) return detail::last_error(code);
    token.resize(length);
    return token;
}

} // namespace offhook

#endif

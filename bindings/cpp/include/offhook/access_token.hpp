// access_token.hpp - tokens for protocol::livekit; for servers and tests, since it needs the secret.
#ifndef OFFHOOK_ACCESS_TOKEN_HPP
#define OFFHOOK_ACCESS_TOKEN_HPP

#include "detail/to_c.hpp"
#include "result.hpp"

#include <chrono>
#include <string>

namespace offhook {

/// Who is let in where, and may do what.
struct access_token_options {
    /// The service's key and its secret. Required. Keep the secret on servers.
    std::string api_key;
    std::string api_secret;
    /// Required.
    std::string user_id;
    /// Required.
    std::string call_id;
    /// Shown to people.
    std::string name;
    /// The application's own text about the participant.
    std::string metadata;
    /// Names and values as a JSON object of texts.
    std::string attributes_json;
    /// Up to a year; 0: 6 hours.
    std::chrono::seconds ttl{0};
    bool no_publish = false;
    bool no_subscribe = false;
    bool no_data = false;
    /// May call call_ref::set_attributes.
    bool may_set_attributes = false;
    /// The others do not see it.
    bool hidden = false;
    /// May also administrate the room over the server's own API.
    bool room_admin = false;
};

/// Makes an access token (a JWT). Contacts nobody. Any thread. errc::argument.
inline result<std::string> access_token(const access_token_options &o)
{
    if (auto r = detail::check_abi(); !r) return r.error();
    detail::c_texts texts;
    oh_access_token_options c = OH_ACCESS_TOKEN_OPTIONS_INIT;
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
    c.may_set_attributes = o.may_set_attributes;
    c.hidden = o.hidden;
    c.room_admin = o.room_admin;
    if (auto r = texts.check(); !r) return r.error();
    std::string token(2048, '\0');
    oh_result code;
    while ((code = oh_access_token(&c, &token[0], token.size())) == OH_ERR_BUFFER && token.size() < (1u << 24))
        token.resize(token.size() * 2);
    if (code != OH_OK) return detail::last_error(code);
    token.resize(token.find('\0'));
    return token;
}

} // namespace offhook

#endif

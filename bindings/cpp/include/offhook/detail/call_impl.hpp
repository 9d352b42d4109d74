// call_impl.hpp - the longer functions of call_ref.
#ifndef OFFHOOK_DETAIL_CALL_IMPL_HPP
#define OFFHOOK_DETAIL_CALL_IMPL_HPP

#include "../call.hpp"
#include "convert.hpp"

#include <memory>
#include <vector>

namespace offhook {

inline result<void> call_ref::wait(call_state state, std::chrono::milliseconds timeout) const
{
    const oh_result code = oh_call_wait(handle_, static_cast<std::int32_t>(state), detail::to_ms(timeout));
    if (code == OH_OK && state == call_state::left) detail::tsan::acquire_call(handle_.id);
    return detail::to_result(code);
}

inline result<void> call_ref::send_custom(const std::string &json) const
{
    detail::c_texts texts;
    const char *c = texts.exact(json, "json");
    if (auto r = texts.check(); !r) return r;
    return detail::to_result(oh_call_send_custom(handle_, c));
}

inline result<void> call_ref::send_data(span<const std::uint8_t> bytes, const data_options &options) const
{
    detail::c_texts texts;
    std::vector<const char *> to;
    const oh_data_options c = detail::to_c(options, texts, to);
    if (auto r = texts.check(); !r) return r;
    return detail::to_result(oh_call_send_data(handle_, &c, bytes.data(), bytes.size()));
}

inline result<void> call_ref::send_text(const std::string &text, const data_options &options) const
{
    detail::c_texts texts;
    std::vector<const char *> to;
    const oh_data_options c = detail::to_c(options, texts, to);
    const char *words = texts.exact(text, "text");
    if (auto r = texts.check(); !r) return r;
    return detail::to_result(oh_call_send_text(handle_, &c, words));
}

inline result<std::uint64_t> call_ref::rpc(const rpc_options &options) const
{
    detail::c_texts texts;
    const oh_rpc_options c = detail::to_c(options, texts);
    if (auto r = texts.check(); !r) return r.error();
    std::uint64_t id = 0;
    if (oh_result code = oh_call_rpc(handle_, &c, &id)) return detail::last_error(code);
    return id;
}

inline result<void> call_ref::rpc_answer(const std::string &request_id, const std::string &payload) const
{
    detail::c_texts texts;
    const char *id = texts.exact(request_id, "request_id"), *answer = texts.exact(payload, "payload");
    if (auto r = texts.check(); !r) return r;
    return detail::to_result(oh_call_rpc_answer(handle_, id, answer, 0, nullptr));
}

inline result<void> call_ref::rpc_fail(const std::string &request_id, rpc_error code, const std::string &text,
                                       const std::string &data) const
{
    if (code == rpc_error::none) return error(errc::argument, "rpc_fail needs a code other than 0");
    detail::c_texts texts;
    const char *id = texts.exact(request_id, "request_id"), *more = texts.given(data, "data");
    const char *why = texts.given(text, "text");
    if (auto r = texts.check(); !r) return r;
    return detail::to_result(oh_call_rpc_answer(handle_, id, more, static_cast<std::uint32_t>(code), why));
}

inline result<void> call_ref::set_attributes(const std::optional<std::string> &name, const std::optional<std::string> &metadata,
                                             const std::optional<std::string> &attributes_json) const
{
    detail::c_texts texts;
    const char *n = name ? texts.exact(*name, "name") : nullptr;
    const char *m = metadata ? texts.exact(*metadata, "metadata") : nullptr;
    const char *a = attributes_json ? texts.exact(*attributes_json, "attributes_json") : nullptr;
    if (auto r = texts.check(); !r) return r;
    return detail::to_result(oh_call_set_attributes(handle_, n, m, a));
}

inline result<event> call_ref::next_event(std::chrono::milliseconds timeout) const
{
    struct free_event {
        void operator()(const oh_event *event) const noexcept { oh_event_free(event); }
    };
    const oh_event *taken = nullptr;
    if (oh_result code = oh_call_next_event(handle_, detail::to_ms(timeout), &taken)) return detail::last_error(code);
    std::unique_ptr<const oh_event, free_event> keep(taken); // freed also when there is no memory for the copy
    return detail::to_event(*taken);
}

} // namespace offhook

#endif

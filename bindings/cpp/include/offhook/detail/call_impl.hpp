// call_impl.hpp - the longer functions of call_ref.
#ifndef OFFHOOK_DETAIL_CALL_IMPL_HPP
#define OFFHOOK_DETAIL_CALL_IMPL_HPP

#include "../call.hpp"
#include "convert.hpp"

#include <cstddef>
#include <memory>
#include <vector>

namespace offhook {

inline result<void> call_ref::wait_state(call_state state, std::chrono::milliseconds timeout) const
{
    const oh_result code = oh_call_wait_state(handle_, static_cast<oh_call_state>(state), detail::to_ms(timeout));
    if (code == OH_OK && state == call_state::left) detail::tsan::acquire_call(handle_.id);
    return detail::to_result(code);
}

inline result<void> call_ref::send_custom_event(const std::string &data_json) const
{
    detail::c_texts texts;
    const char *c = texts.exact(data_json, "data_json");
    if (auto r = texts.check(); !r) return r;
    return detail::to_result(oh_call_send_custom_event(handle_, c));
}

inline result<void> call_ref::send_data(span<const std::uint8_t> data, const data_options &options) const
{
    detail::c_texts texts;
    std::vector<const char *> to;
    const oh_data_options c = detail::to_c(options, texts, to);
    if (auto r = texts.check(); !r) return r;
    return detail::to_result(oh_call_send_data(handle_, &c, data.data(), data.size()));
}

inline result<void> call_ref::send_text(const std::string &text, const data_options &options) const
{
    detail::c_texts texts;
    std::vector<const char *> to;
    const oh_data_options c = detail::to_c(options, texts, to);
    const char *c_text = texts.exact(text, "text");
    if (auto r = texts.check(); !r) return r;
    return detail::to_result(oh_call_send_text(handle_, &c, c_text));
}

inline result<std::uint64_t> call_ref::perform_rpc(const rpc_options &options) const
{
    detail::c_texts texts;
    const oh_rpc_options c = detail::to_c(options, texts);
    if (auto r = texts.check(); !r) return r.error();
    std::uint64_t id = 0;
    if (oh_result code = oh_call_perform_rpc(handle_, &c, &id)) return detail::last_error(code);
    return id;
}

inline result<void> call_ref::answer_rpc(const std::string &request_id, const std::string &payload) const
{
    detail::c_texts texts;
    const char *id = texts.exact(request_id, "request_id"), *answer = texts.exact(payload, "payload");
    if (auto r = texts.check(); !r) return r;
    return detail::to_result(oh_call_answer_rpc(handle_, id, answer, 0, nullptr));
}

inline result<void> call_ref::fail_rpc(const std::string &request_id, rpc_error code, const std::string &text,
                                       const std::string &payload) const
{
    if (code == rpc_error::none) return error(errc::argument, "fail_rpc needs a code other than 0, which is success");
    detail::c_texts texts;
    const char *id = texts.exact(request_id, "request_id"), *data = texts.given(payload, "payload");
    const char *why = texts.given(text, "text");
    if (auto r = texts.check(); !r) return r;
    return detail::to_result(oh_call_answer_rpc(handle_, id, data, static_cast<std::uint32_t>(code), why));
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

inline result<std::vector<participant>> call_ref::participants() const
{
    struct free_participants {
        void operator()(const oh_participants *all) const noexcept { oh_participants_free(all); }
    };
    const oh_participants *taken = nullptr;
    if (oh_result code = oh_call_get_participants(handle_, &taken)) return detail::last_error(code);
    const std::unique_ptr<const oh_participants, free_participants> keep(taken); // freed also when the copy throws
    const oh_participants all = detail::known(taken);
    std::vector<participant> copies;
    if (all.participants) {
        copies.reserve(all.participant_count);
        for (std::size_t i = 0; i < all.participant_count; i++) copies.push_back(detail::to_participant(all.participants[i]));
    }
    return copies;
}

inline result<event> call_ref::wait_event(std::chrono::milliseconds timeout) const
{
    struct free_event {
        void operator()(const oh_event *event) const noexcept { oh_event_free(event); }
    };
    const oh_event *taken = nullptr;
    if (oh_result code = oh_call_wait_event(handle_, detail::to_ms(timeout), &taken)) return detail::last_error(code);
    const std::unique_ptr<const oh_event, free_event> keep(taken); // freed also when the copy throws
    return detail::to_event(taken);
}

} // namespace offhook

#endif

// ctl.hpp - controls the development SFU (docs/sfu.md), and reads its state.
#ifndef TESTS_CTL_HPP
#define TESTS_CTL_HPP

#include "json.hpp"

#include <string>

/// The SFU under test: OFFHOOK_SFU_URL.
std::string sfu_url();

/// POST /ctl/`what`; fails the test unless the status is 200.
json ctl(const std::string &what, const std::string &body);

/// GET /ctl/state.
json sfu_state();

/// Whether the SFU has a live session of a user.
bool at_sfu(const std::string &user);

/// A counter of a user's session, live or ended; -1 when there is none.
long long session_figure(const std::string &user, const std::string &name);

#endif

// ctl.cpp - see ctl.hpp.
#include "ctl.hpp"
#include "check.hpp"

#include <arpa/inet.h>
#include <cstdlib>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

std::string sfu_url()
{
    const char *url = std::getenv("OFFHOOK_SFU_URL");
    if (!url || std::string(url).rfind("http://127.0.0.1:", 0) != 0) FAIL("OFFHOOK_SFU_URL must be http://127.0.0.1:PORT");
    return url;
}

static std::string http(const std::string &method, const std::string &path, const std::string &body)
{
    const int port = std::atoi(sfu_url().c_str() + 17);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<std::uint16_t>(port));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    timeval limit{};
    limit.tv_sec = within(10s) / 1s;
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (::connect(fd, reinterpret_cast<sockaddr *>(&to), sizeof to)) FAIL("the SFU cannot be reached");
    std::string request = method + " " + path + " HTTP/1.1\r\nhost: 127.0.0.1:" + std::to_string(port) +
                          "\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: " +
                          std::to_string(body.size()) + "\r\n\r\n" + body;
    for (std::size_t done = 0; done < request.size();) {
        const ssize_t n = ::send(fd, request.data() + done, request.size() - done, MSG_NOSIGNAL);
        if (n <= 0) FAIL("the SFU takes no request");
        done += static_cast<std::size_t>(n);
    }
    std::string answer;
    char part[16384];
    ssize_t n;
    while ((n = ::recv(fd, part, sizeof part, 0)) > 0) answer.append(part, static_cast<std::size_t>(n));
    ::close(fd);
    const std::size_t end = answer.find("\r\n\r\n");
    if (n < 0 || end == std::string::npos) FAIL(path + ": no answer");
    if (answer.rfind("HTTP/1.1 200", 0) != 0) FAIL(path + " " + body + ": " + answer.substr(0, 300));
    return answer.substr(end + 4);
}

json ctl(const std::string &what, const std::string &body) { return json::parse(http("POST", "/ctl/" + what, body)); }

json sfu_state() { return json::parse(http("GET", "/ctl/state", "")); }

bool at_sfu(const std::string &user)
{
    const json state = sfu_state();
    for (const json &s : state["sessions"].items)
        if (s["user_id"].text == user) return true;
    return false;
}

long long session_figure(const std::string &user, const std::string &name)
{
    const json state = sfu_state();
    long long figure = -1;
    for (const char *list : {"gone", "sessions"}) // a live session takes precedence
        for (const json &s : state[list].items)
            if (s["user_id"].text == user && s.members.count(name)) figure = s[name].number();
    return figure;
}

// no_exceptions.cpp - the headers in a program that is built with -fno-exceptions -fno-rtti: errors as results, and
// value() of a failure ends the process with the error's text (--abort).
#include <offhook/offhook.hpp>

#include <cstdio>
#include <cstring>

int main(int argc, char **argv)
{
    offhook::client_options where; // no URL
    auto client = offhook::client::create(where);
    if (client || client.code() != offhook::errc::argument || client.error().text().empty()) return 1;
    if (argc > 1 && !std::strcmp(argv[1], "--abort")) (void)client.value();
    where.url = "http://127.0.0.1:1";
    where.user_id = "ann";
    auto made = offhook::client::create(where);
    if (!made) return 2;
    offhook::call_handlers handlers;
    handlers.on_event = [](offhook::call_ref, const offhook::event &) {};
    offhook::call_options what;
    what.call_id = "room";
    auto call = made->join(what, handlers);
    if (!call || !call->leave()) return 3;
    std::puts("ok no_exceptions");
    return 0;
}

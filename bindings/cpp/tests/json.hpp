// json.hpp - reads the responses of the development SFU, which are well-formed.
#ifndef TESTS_JSON_HPP
#define TESTS_JSON_HPP

#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

struct json {
    std::string text; ///< the content of a string; a number or literal as written
    std::vector<json> items;
    std::map<std::string, json> members;

    long long number() const { return std::atoll(text.c_str()); }
    const json &operator[](const std::string &name) const
    {
        static const json none;
        auto found = members.find(name);
        return found == members.end() ? none : found->second;
    }

    static json parse(const std::string &source)
    {
        const char *p = source.c_str();
        return value(p);
    }

private:
    static void space(const char *&p) { while (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t') p++; }

    static json value(const char *&p)
    {
        json j;
        space(p);
        if (*p == '"') {
            j.text = string(p);
        } else if (*p == '[') {
            for (p++, space(p); *p && *p != ']'; space(p)) {
                j.items.push_back(value(p));
                space(p);
                if (*p == ',') p++;
            }
            if (*p) p++;
        } else if (*p == '{') {
            for (p++, space(p); *p == '"'; space(p)) {
                const std::string name = string(p);
                space(p);
                if (*p == ':') p++;
                j.members[name] = value(p);
                space(p);
                if (*p == ',') p++;
                space(p);
            }
            if (*p) p++;
        } else {
            while (*p && !std::strchr(",]} \n\r\t", *p)) j.text += *p++;
        }
        return j;
    }

    static std::string string(const char *&p)
    {
        std::string s;
        for (p++; *p && *p != '"'; p++) s += *p == '\\' && p[1] ? *++p : *p; // escapes are not decoded
        if (*p) p++;
        return s;
    }
};

#endif

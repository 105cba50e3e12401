#include <sys/stat.h>

#include <algorithm>

#include "config/addresses.hpp"
#include "config/readers.hpp"

namespace rouse::config {
namespace {

/// `server` while it is read, with the places of what is checked together at the end.
struct server_draft {
  server value;
  std::vector<mark> listen_marks;
  std::optional<mark> admin_mark;
  std::optional<mark> token_mark;
};

void read_listen(const scope& in, const member& entry, server_draft& out) {
  auto const given = texts(in, entry, "[\"0.0.0.0:8080\"]", true);
  if (!given) return;
  if (given->empty()) {
    in.fail(entry, "must have at least one address");
    return;
  }
  out.value.listen.clear();
  for (const marked_text& item : *given) {
    auto result = parse_listen(*item.text);
    if (!result.value) {
      in.fail(item.at, shown(entry.key) + " " + result.error);
      continue;
    }
    out.value.listen.push_back(std::move(*result.value));
    out.listen_marks.push_back(item.at);
  }
}

void read_admin(const scope& in, const member& entry, server_draft& out) {
  out.admin_mark = entry.value_mark();
  read_scalar(in, entry, out.value.admin, parse_listen);
}

void read_token(const scope& in, const member& entry, server_draft& out) {
  out.token_mark = entry.value_mark();
  // The message never shows the token: it goes to terminals and logs.
  read_scalar(in, entry, out.value.admin_token, [](const std::string& text) -> parsed<std::string> {
    bool const sendable = std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7F; });
    if (sendable) return {text, {}};
    return {std::nullopt, "holds a space or a character that no `Authorization` header can carry: use visible ASCII"};
  });
}

void read_proxies(const scope& in, const member& entry, server_draft& out) {
  auto const given = texts(in, entry, "[10.0.0.0/8]", false);
  if (!given) return;
  out.value.trusted_proxies.clear();
  for (const marked_text& item : *given) {
    auto result = parse_network(*item.text);
    if (result.value) {
      out.value.trusted_proxies.push_back(*result.value);
    } else {
      in.fail(item.at, shown(entry.key) + " " + result.error);
    }
  }
}

void read_data_dir(const scope& in, const member& entry, server_draft& out) {
  const std::string* const text = scalar(in, entry);
  if (text == nullptr) return;
  if (text->empty()) return in.fail(entry, "is empty: name a folder, such as `./rouse-data`");
  std::string path = absolute_path(in.folder, *text);
  struct stat status {};
  // It is made when it is needed; what is there already must be a folder.
  if (::stat(path.c_str(), &status) == 0 && !S_ISDIR(status.st_mode))
    return in.fail(entry, "is " + shown(path) + ", which is not a directory");
  out.value.data_dir = std::move(path);
}

using limits_field = field<limits>;
constexpr std::array limits_fields{
    limits_field{"header_bytes", [](const scope& in, const member& e,
                                    limits& out) { read_size(in, e, 1024, 16ULL * 1024 * 1024, out.header_bytes); }},
    limits_field{"header_timeout", [](const scope& in, const member& e,
                                      limits& out) { read_duration(in, e, zero::refused, out.header_timeout); }},
    limits_field{"idle_timeout", [](const scope& in, const member& e,
                                    limits& out) { read_duration(in, e, zero::refused, out.idle_timeout); }},
    limits_field{"body_bytes", [](const scope& in, const member& e,
                                  limits& out) { read_size(in, e, 0, largest_size, out.body_bytes); }},
    limits_field{"connections", [](const scope& in, const member& e,
                                   limits& out) { read_whole(in, e, 0, 100'000'000, out.connections); }},
};

void read_limits(const scope& in, const member& entry, server_draft& out) {
  if (const node* map = mapping(in, entry)) read_fields(in, *map, "server.limits", limits_fields, out.value.limits);
}

constexpr std::array<std::pair<std::string_view, expose_errors>, 3> expose_choices{
    {{"auto", expose_errors::automatic}, {"true", expose_errors::always}, {"false", expose_errors::never}}};
constexpr std::array<std::pair<std::string_view, access_log>, 3> log_choices{
    {{"off", access_log::off}, {"json", access_log::json}, {"combined", access_log::combined}}};

using server_field = field<server_draft>;
constexpr std::array server_fields{
    server_field{"listen", read_listen},
    server_field{"admin", read_admin},
    server_field{"admin_token", read_token},
    server_field{"workers", [](const scope& in, const member& e,
                               server_draft& out) { read_whole(in, e, 0, 1024, out.value.workers); }},
    server_field{"data_dir", read_data_dir},
    server_field{"drain_delay", [](const scope& in, const member& e,
                                   server_draft& out) { read_duration(in, e, zero::allowed, out.value.drain_delay); }},
    server_field{"drain_timeout",
                 [](const scope& in, const member& e, server_draft& out) {
                   read_duration(in, e, zero::allowed, out.value.drain_timeout);
                 }},
    server_field{"function_urls", [](const scope& in, const member& e,
                                     server_draft& out) { read_boolean(in, e, out.value.function_urls); }},
    server_field{"expose_errors",
                 [](const scope& in, const member& e, server_draft& out) {
                   read_choice(in, e, expose_choices, out.value.expose_errors);
                 }},
    server_field{"trusted_proxies", read_proxies},
    server_field{"limits", read_limits},
    server_field{"access_log", [](const scope& in, const member& e,
                                  server_draft& out) { read_choice(in, e, log_choices, out.value.access_log); }},
};

void check_addresses(const scope& in, const server_draft& draft, mark fallback) {
  const auto& listen = draft.value.listen;
  for (std::size_t i = 0; i < draft.listen_marks.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (!collide(listen[i], listen[j])) continue;
      in.fail(draft.listen_marks[i], "`listen` has " + shown(format_listen(listen[i])) + " and " +
                                         shown(format_listen(listen[j])) + ", which cannot both be bound: remove one");
      break;
    }
  }
  for (std::size_t i = 0; i < listen.size(); ++i) {
    if (!collide(listen[i], draft.value.admin)) continue;
    mark const at = draft.admin_mark                ? *draft.admin_mark
                    : i < draft.listen_marks.size() ? draft.listen_marks[i]
                                                    : fallback;
    in.fail(at, "`admin` (" + format_listen(draft.value.admin) + ") and `listen` (" + format_listen(listen[i]) +
                    ") want the same port: give one of them another");
    break;
  }
}

}  // namespace

void read_server(const scope& in, const node& map, server& out) {
  server_draft draft;
  read_fields(in, map, "server", server_fields, draft);
  check_addresses(in, draft, map.at);
  if (!is_loopback(draft.value.admin) && draft.value.admin_token.empty()) {
    in.fail(draft.token_mark.value_or(draft.admin_mark.value_or(map.at)),
            "`admin` (" + format_listen(draft.value.admin) +
                ") can be reached from other machines: set a non-empty `admin_token`, or listen on 127.0.0.1");
  }
  out = std::move(draft.value);
}

void add_server_keys(std::vector<key_section>& out) {
  out.push_back({"server", keys_of(server_fields)});
  out.push_back({"server.limits", keys_of(limits_fields)});
}

}  // namespace rouse::config

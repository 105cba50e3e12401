#include <algorithm>

#include "config/readers.hpp"
#include "config/route_path.hpp"

namespace rouse::config {
namespace {

/// One route while it is read: which keys were given, right or wrong.
struct route_entry {
  route value;
  bool has_host = false;
  const member* path = nullptr;
  const member* rewrite = nullptr;
  const member* function = nullptr;
  reference names;
};

void read_methods(const scope& in, const member& entry, route_entry& out) {
  auto const given = texts(in, entry, "[GET, POST]", false);
  if (!given) return;
  if (given->empty()) return in.fail(entry, "must not be empty: leave it out for any method");
  for (const marked_text& item : *given) {
    std::string const capital = upper(*item.text);
    if (!is_token(*item.text)) {
      in.fail(item.at, "`methods` holds " + shown(*item.text) + ", which is not a method: write one such as `GET`");
    } else if (*item.text != capital) {
      in.fail(item.at, "`methods` holds " + shown(*item.text) + ", but methods are in upper case: did you mean " +
                           shown(capital) + "?");
    } else {
      out.value.methods.push_back(*item.text);
    }
  }
}

void read_headers(const scope& in, const member& entry, route_entry& out) {
  const node* const map = mapping(in, entry);
  if (map == nullptr) return;
  for (const member& header : map->members) {
    auto made = read_header(in, header);
    auto const same = [&](const auto& known) { return known.first == lower(header.key); };
    if (std::any_of(out.value.headers.begin(), out.value.headers.end(), same)) {
      in.fail(header.at,
              "the header " + shown(header.key) + " is given twice: names are compared without regard to case");
    } else if (made) {
      out.value.headers.push_back(std::move(*made));
    }
  }
}

using route_field = field<route_entry>;
constexpr std::array route_fields{
    route_field{"host",
                [](const scope& in, const member& e, route_entry& out) {
                  out.has_host = true;
                  read_scalar(in, e, out.value.host, parse_route_host);
                }},
    route_field{"path",
                [](const scope& in, const member& e, route_entry& out) {
                  out.path = &e;
                  read_scalar(in, e, out.value.path, parse_route_path);
                }},
    route_field{"methods", read_methods},
    route_field{"headers", read_headers},
    route_field{"function",
                [](const scope& in, const member& e, route_entry& out) {
                  out.function = &e;
                  read_reference(in, e, "a function", out.names);
                }},
    route_field{"rewrite",
                [](const scope& in, const member& e, route_entry& out) {
                  out.rewrite = &e;
                  read_scalar(in, e, out.value.rewrite, parse_rewrite);
                }},
};

void read_route(const scope& in, const node& map, std::vector<route_draft>& out) {
  route_entry entry;
  read_fields(in, map, "route", route_fields, entry);
  if (!entry.has_host && entry.path == nullptr) {
    in.fail(map.at, "a route needs a `path` or a `host`: write `path: /*` for every request");
  }
  if (entry.rewrite != nullptr && entry.path == nullptr) {
    in.fail(entry.rewrite->at, "`rewrite` needs a `path`, of which it replaces what stands before the `*`");
  }
  // "/thumb/*" rewritten to "/x" would glue "/x" and the rest together.
  bool const prefix = entry.value.path.ends_with("/*");
  if (prefix && entry.value.rewrite && entry.value.rewrite->back() != '/') {
    in.fail(*entry.rewrite, "is " + shown(*entry.value.rewrite) +
                                ", but must end with `/` when `path` ends with `/*`: write " +
                                shown(*entry.value.rewrite + "/"));
  }
  if (entry.function == nullptr) {
    in.fail(map.at, "a route needs a `function`, the name of the one that answers");
    return;
  }
  entry.value.function = entry.names.name;
  out.push_back({std::move(entry.value), std::move(entry.names)});
}

}  // namespace

std::optional<std::pair<std::string, std::string>> read_header(const scope& in, const member& header) {
  if (!is_token(header.key)) {
    in.fail(header.at, shown(header.key) + " cannot be the name of a header");
    return std::nullopt;
  }
  const std::string* const text = scalar(in, header);
  if (text == nullptr) return std::nullopt;
  bool const control = std::any_of(text->begin(), text->end(), [](char c) {
    auto const u = static_cast<unsigned char>(c);
    return (u < 0x20 && c != '\t') || u == 0x7F;
  });
  auto const blank = [](char c) { return c == ' ' || c == '\t'; };
  if (control) {
    in.fail(header, "holds a control character, which no header can hold");
  } else if (!text->empty() && (blank(text->front()) || blank(text->back()))) {
    in.fail(header, "begins or ends with a blank, which no header's value does: remove it");
  } else {
    return std::pair{lower(header.key), *text};
  }
  return std::nullopt;
}

void read_routes(const scope& in, const member& entry, std::vector<route_draft>& out) {
  const node& list = *entry.value;
  if (list.broken) return;
  if (list.type != node::kind::sequence) {
    in.fail(entry, list.type == node::kind::null ? "has no value: write `[]`, or remove the key"
                                                 : "must be a list such as `- {path: /*, function: NAME}`, not " +
                                                       std::string(describe(list.type)));
    return;
  }
  for (const node* item : list.items) {
    if (item->broken) continue;
    if (item->type == node::kind::map) {
      read_route(in, *item, out);
    } else {
      in.fail(item->at, "a route must be a mapping such as `{path: /*, function: NAME}`, not " +
                            std::string(describe(item->type)));
    }
  }
}

void add_route_keys(std::vector<key_section>& out) {
  out.push_back({"route", keys_of(route_fields)});
}

}  // namespace rouse::config

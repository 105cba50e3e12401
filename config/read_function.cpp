#include <algorithm>
#include <array>

#include "config/readers.hpp"

namespace rouse::config {
namespace {

using draft = function_draft;

constexpr double most_rate = 1'000'000'000;

void read_expose(const scope& in, const member& entry, draft& out) {
  auto const given = texts(in, entry, "[http, async]", false);
  if (!given) return;
  out.value.expose_http = out.value.expose_async = false;
  for (const marked_text& item : *given) {
    if (*item.text == "http") {
      out.value.expose_http = true;
    } else if (*item.text == "async") {
      out.value.expose_async = true;
    } else {
      in.fail(item.at, "`expose` can hold `http` and `async`, or be `[]`, but not " + shown(*item.text));
    }
  }
}

using queue_field = field<queue>;
constexpr std::array queue_fields{
    queue_field{"max_requests", [](const scope& in, const member& e,
                                   queue& out) { read_whole(in, e, 1, 1'000'000'000, out.max_requests); }},
    queue_field{"max_bytes",
                [](const scope& in, const member& e, queue& out) { read_size(in, e, 1, largest_size, out.max_bytes); }},
    queue_field{"max_wait", [](const scope& in, const member& e,
                               queue& out) { read_duration(in, e, zero::refused, out.max_wait); }},
};

using rate_field = field<rate_limit>;
constexpr std::array rate_fields{
    rate_field{"rps",
               [](const scope& in, const member& e, rate_limit& out) {
                 read_decimal(in, e, {0, most_rate}, out.rps);
               }},
    rate_field{"burst", [](const scope& in, const member& e,
                           rate_limit& out) { read_whole(in, e, 0, 1'000'000'000, out.burst); }},
};

void read_content_type(const scope& in, const member& entry, fallback& out) {
  read_scalar(in, entry, out.content_type, [](const std::string& text) -> parsed<std::string> {
    bool const printable = std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7F; });
    if (!text.empty() && printable && text.front() != ' ' && text.back() != ' ') return {text, {}};
    return {std::nullopt, "must be a media type such as `application/json`, not " + shown(text)};
  });
}

using fallback_field = field<fallback>;
constexpr std::array fallback_fields{
    fallback_field{"status",
                   [](const scope& in, const member& e, fallback& out) { read_whole(in, e, 200, 599, out.status); }},
    fallback_field{"content_type", read_content_type},
    fallback_field{"body",
                   [](const scope& in, const member& e, fallback& out) {
                     if (const std::string* text = scalar(in, e)) out.body = *text;
                   }},
};

void read_fallback(const scope& in, const member& entry, draft& out) {
  const node* const map = mapping(in, entry);
  if (map == nullptr) return;
  if (!out.value.fallback) out.value.fallback.emplace();
  fallback& made = *out.value.fallback;
  read_fields(in, *map, "function.fallback", fallback_fields, made);
  bool const bodiless = made.status == 204 || made.status == 205 || made.status == 304;
  if (bodiless && !made.body.empty())
    in.fail(entry, "has a `body`, which no answer with the status " + std::to_string(made.status) + " can have");
}

/// Where a caller is kept, by one name; the other kind is left empty.
void read_token_name(const scope& in, const member& entry, std::string& out) {
  read_scalar(in, entry, out, [&](const std::string& text) -> parsed<std::string> {
    if (is_token(text)) return {text, {}};
    return {std::nullopt, "is " + shown(text) + ", which cannot be the name of a " + entry.key};
  });
}

using sticky_field = field<sticky>;
constexpr std::array sticky_fields{
    sticky_field{"header",
                 [](const scope& in, const member& e, sticky& out) {
                   read_token_name(in, e, out.header);
                   out.header = lower(out.header);
                 }},
    sticky_field{"cookie", [](const scope& in, const member& e, sticky& out) { read_token_name(in, e, out.cookie); }},
};

void read_sticky(const scope& in, const member& entry, draft& out) {
  const node* const map = mapping(in, entry);
  if (map == nullptr) return;
  sticky made;
  read_fields(in, *map, "function.sticky", sticky_fields, made);
  if (map->members.size() != 1)
    in.fail(entry, "must have exactly one of `header` and `cookie`, such as `{header: x-user}`");
  out.value.sticky = std::move(made);
}

/// What belongs to the function and not to one of its revisions.
constexpr std::array function_fields{
    field<draft>{"expose", read_expose},
    field<draft>{"queue",
                 [](const scope& in, const member& e, draft& out) {
                   if (const node* map = mapping(in, e))
                     read_fields(in, *map, "function.queue", queue_fields, out.value.queue);
                 }},
    field<draft>{"async", read_async},
    field<draft>{"rate_limit",
                 [](const scope& in, const member& e, draft& out) {
                   if (const node* map = mapping(in, e))
                     read_fields(in, *map, "function.rate_limit", rate_fields, out.value.rate_limit);
                 }},
    field<draft>{"fallback", read_fallback},
    field<draft>{"sticky", read_sticky},
};

/// What only a function can hold.
constexpr std::array<std::string_view, 3> own_keys{"revisions", "traffic", "lanes"};
/// What each revision has for itself: no default either.
constexpr std::array<std::string_view, 3> no_defaults{"command", "deployment", "endpoints"};

/// Reads one key that functions and `defaults` have in common.
void read_shared(const scope& in, const member& entry, std::string_view section, draft& out) {
  if (read_field(in, entry, function_fields, out)) return;
  if (!read_revision_key(in, entry, out.shared)) unknown_key(in, entry, section);
}

/// One of the keys that are read when all others are; false when `entry` is none.
bool keep_for_later(const member& entry, revision_members& out) {
  if (entry.key == "revisions") {
    out.revisions = &entry;
  } else if (entry.key == "traffic") {
    out.traffic = &entry;
  } else if (entry.key == "lanes") {
    out.lanes = &entry;
  } else {
    return false;
  }
  return true;
}

}  // namespace

std::string bad_name(std::string_view name, std::string_view whose) {
  std::string message = shown(name) + " cannot be " + std::string(whose) +
                        " name: use 1 to 63 of a-z, 0-9 and `-`, not beginning or ending with `-`";
  std::string repaired = lower(name);
  std::replace(repaired.begin(), repaired.end(), '_', '-');
  if (is_dns_label(repaired)) message += "; did you mean " + shown(repaired) + "?";
  return message;
}

bool is_functions_own(std::string_view key) {
  return std::find(own_keys.begin(), own_keys.end(), key) != own_keys.end();
}

bool has_no_default(std::string_view key) {
  return is_functions_own(key) || std::find(no_defaults.begin(), no_defaults.end(), key) != no_defaults.end();
}

void read_defaults(const scope& in, const node& map, function_draft& out) {
  for (const member& entry : map.members) {
    if (has_no_default(entry.key)) {
      unknown_key(in, entry, "defaults");
    } else {
      read_shared(in, entry, "defaults", out);
    }
  }
}

std::optional<function> read_function(const scope& in, const member& entry, const function_draft& defaults) {
  bool const named = is_dns_label(entry.key);
  if (!named) in.fail(entry.at, bad_name(entry.key, "a function's"));
  function_draft merged = defaults;
  merged.value.name = entry.key;
  merged.shared.level = 1;
  if (merged.shared.value.directory.empty()) merged.shared.value.directory = in.folder;
  const node& value = *entry.value;
  if (value.type == node::kind::null && !value.broken) {
    in.fail(entry.at,
            "function " + shown(entry.key) + " is empty: give it a `command`, such as `command: [python3, app.py]`");
  } else if (const node* map = mapping(in, entry)) {
    revision_members later;
    for (const member& key : map->members) {
      if (!keep_for_later(key, later)) read_shared(in, key, "function", merged);
    }
    finish_async(in, merged);
    read_revisions(in, entry, later, merged);
  }
  if (!named) return std::nullopt;
  return std::move(merged.value);
}

void add_function_keys(std::vector<key_section>& out) {
  std::vector<std::string_view> own = revision_keys();
  for (std::string_view key : keys_of(function_fields)) own.push_back(key);
  std::vector<std::string_view> shared = own;
  std::erase_if(shared, [](std::string_view key) { return has_no_default(key); });
  own.insert(own.end(), own_keys.begin(), own_keys.end());
  out.push_back({"defaults", std::move(shared)});
  out.push_back({"function", std::move(own)});
  out.push_back({"function.queue", keys_of(queue_fields)});
  out.push_back({"function.rate_limit", keys_of(rate_fields)});
  out.push_back({"function.fallback", keys_of(fallback_fields)});
  out.push_back({"function.sticky", keys_of(sticky_fields)});
  add_async_keys(out);
  add_revision_keys(out);
  add_traffic_keys(out);
}

}  // namespace rouse::config

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "config/readers.hpp"

namespace rouse::config {
namespace {

using draft = function_draft;

/// Most instances of one function: far more than one machine runs, and a bound for sums.
constexpr std::uint64_t most_instances = 10'000;
/// Most slots on one instance that a limit may allow; 0 means no limit.
constexpr std::uint64_t most_slots = 1'000'000;

void read_command(const scope& in, const member& entry, draft& out) {
  out.has_command = true;
  const node& value = *entry.value;
  if (value.type == node::kind::scalar && !value.broken) {
    in.fail(entry,
            "must be a list, because no shell splits it: write `[sh, -c, \"...\"]`, or each word as an item, such as "
            "`[python3, app.py]`");
    return;
  }
  auto const given = texts(in, entry, "[python3, app.py]", false);
  if (!given) return;
  if (given->empty()) return in.fail(entry, "must not be empty: name at least the program");
  if (given->front().text->empty())
    return in.fail(given->front().at, "the first item of `command` names the program, but is empty");
  out.value.command.clear();
  for (const marked_text& item : *given) out.value.command.push_back(*item.text);
}

bool set_by_rouse(std::string_view name) {
  return name == "PORT" || name == "K_SERVICE" || name == "K_REVISION" || name == "K_CONFIGURATION";
}

void read_env(const scope& in, const member& entry, draft& out) {
  const node* const map = mapping(in, entry);
  if (map == nullptr) return;
  for (const member& variable : map->members) {
    const node& value = *variable.value;
    if (variable.key.empty() || variable.key.find_first_of(std::string_view("=\0", 2)) != std::string::npos) {
      in.fail(variable.at, shown(variable.key) +
                               " cannot be the name of an environment variable: it must not be empty or hold "
                               "a `=` or NUL");
    } else if (set_by_rouse(variable.key)) {
      in.fail(variable.at, shown(variable.key) + " is set by rouse for every instance: remove it here");
    } else if (value.type == node::kind::null && !value.broken) {
      in.fail(variable, "has no value: write `\"\"` for an empty text");
    } else if (const std::string* text = scalar(in, variable)) {
      out.value.env[variable.key] = *text;
    }
  }
}

/// Why `path` cannot be a working directory, or nothing.
std::string directory_problem(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) {
    return errno == ENOENT ? "does not exist: create it, or correct the path"
                           : std::string("cannot be used: ") + std::strerror(errno);
  }
  return S_ISDIR(status.st_mode) ? "" : "is not a directory";
}

void read_directory(const scope& in, const member& entry, draft& out) {
  const std::string* const text = scalar(in, entry);
  if (text == nullptr) return;
  if (text->empty()) return in.fail(entry, "is empty: write `.` for the folder of this file, or remove the key");
  std::string path = (std::filesystem::path(in.folder) / *text).lexically_normal().string();
  if (path.size() > 1 && path.back() == '/') path.pop_back();
  auto const [known, fresh] = in.directories.try_emplace(path);
  if (fresh) known->second = directory_problem(path);
  if (known->second.empty()) {
    out.value.directory = std::move(path);
  } else {
    in.fail(entry, "is " + shown(path) + ", which " + known->second);
  }
}

void read_expose(const scope& in, const member& entry, draft& out) {
  auto const given = texts(in, entry, "[http]", false);
  if (!given) return;
  out.value.expose_http = false;
  for (const marked_text& item : *given) {
    if (*item.text == "http") {
      out.value.expose_http = true;
    } else if (*item.text == "async") {
      in.fail(item.at, "`expose` cannot hold `async`: asynchronous calls are not supported by this version of rouse");
    } else {
      in.fail(item.at, "`expose` can hold `http`, or be `[]`, but not " + shown(*item.text));
    }
  }
}

using ready_field = field<function>;
constexpr std::array ready_fields{ready_field{
    "path", [](const scope& in, const member& e, function& out) {
      read_scalar(in, e, out.ready_path, [](const std::string& text) -> parsed<std::string> {
        bool const visible =
            std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7F && c != '#'; });
        if (!text.empty() && text.front() == '/' && visible) return {text, {}};
        return {std::nullopt,
                "must be a path that begins with `/`, without spaces or `#`, such as `/healthz`, not " + shown(text)};
      });
    }}};

using scale_field = field<draft>;
constexpr std::array scale_fields{
    scale_field{"min",
                [](const scope& in, const member& e, draft& out) {
                  read_whole(in, e, 0, most_instances, out.value.scale.min);
                  out.scale_min = place{&in.file, e.value_mark()};
                }},
    scale_field{"max",
                [](const scope& in, const member& e, draft& out) {
                  read_whole(in, e, 1, most_instances, out.value.scale.max);
                  out.scale_max = place{&in.file, e.value_mark()};
                }},
    scale_field{"idle", [](const scope& in, const member& e,
                           draft& out) { read_duration(in, e, zero::allowed, out.value.scale.idle); }},
};

using queue_field = field<queue>;
constexpr std::array queue_fields{
    queue_field{"max_requests", [](const scope& in, const member& e,
                                   queue& out) { read_whole(in, e, 1, 1'000'000'000, out.max_requests); }},
    queue_field{"max_bytes",
                [](const scope& in, const member& e, queue& out) { read_size(in, e, 1, largest_size, out.max_bytes); }},
    queue_field{"max_wait", [](const scope& in, const member& e,
                               queue& out) { read_duration(in, e, zero::refused, out.max_wait); }},
};

using retry_field = field<retry>;
constexpr std::array retry_fields{
    retry_field{"attempts",
                [](const scope& in, const member& e, retry& out) { read_whole(in, e, 1, 100, out.attempts); }},
};

/// The key that only a function may have; defaults have all others.
constexpr std::array<field<draft>, 1> command_field{{{"command", read_command}}};

constexpr std::array shared_fields{
    field<draft>{"env", read_env},
    field<draft>{"directory", read_directory},
    field<draft>{"concurrency", [](const scope& in, const member& e,
                                   draft& out) { read_whole(in, e, 0, most_slots, out.value.concurrency); }},
    field<draft>{"timeout", [](const scope& in, const member& e,
                               draft& out) { read_duration(in, e, zero::refused, out.value.timeout); }},
    field<draft>{"stream_idle_timeout",
                 [](const scope& in, const member& e, draft& out) {
                   read_duration(in, e, zero::allowed, out.value.stream_idle_timeout);
                 }},
    field<draft>{"max_duration", [](const scope& in, const member& e,
                                    draft& out) { read_duration(in, e, zero::allowed, out.value.max_duration); }},
    field<draft>{"ready",
                 [](const scope& in, const member& e, draft& out) {
                   if (const node* map = mapping(in, e))
                     read_fields(in, *map, "function.ready", ready_fields, out.value);
                 }},
    field<draft>{"start_timeout", [](const scope& in, const member& e,
                                     draft& out) { read_duration(in, e, zero::refused, out.value.start_timeout); }},
    field<draft>{"stop_grace", [](const scope& in, const member& e,
                                  draft& out) { read_duration(in, e, zero::allowed, out.value.stop_grace); }},
    field<draft>{"expose", read_expose},
    field<draft>{"scale",
                 [](const scope& in, const member& e, draft& out) {
                   if (const node* map = mapping(in, e)) read_fields(in, *map, "function.scale", scale_fields, out);
                 }},
    field<draft>{"queue",
                 [](const scope& in, const member& e, draft& out) {
                   if (const node* map = mapping(in, e))
                     read_fields(in, *map, "function.queue", queue_fields, out.value.queue);
                 }},
    field<draft>{"retry",
                 [](const scope& in, const member& e, draft& out) {
                   if (const node* map = mapping(in, e))
                     read_fields(in, *map, "function.retry", retry_fields, out.value.retry);
                 }},
};

constexpr auto function_fields = [] {
  std::array<field<draft>, command_field.size() + shared_fields.size()> all{};
  std::copy(command_field.begin(), command_field.end(), all.begin());
  std::copy(shared_fields.begin(), shared_fields.end(), all.begin() + command_field.size());
  return all;
}();

std::string bad_name(std::string_view name) {
  std::string message =
      shown(name) + " cannot be a function's name: use 1 to 63 of a-z, 0-9 and `-`, not beginning or ending with `-`";
  std::string repaired = lower(name);
  std::replace(repaired.begin(), repaired.end(), '_', '-');
  if (is_dns_label(repaired)) message += "; did you mean " + shown(repaired) + "?";
  return message;
}

void check_scale(const scope& in, const draft& merged, const draft& defaults) {
  if (merged.value.scale.min <= merged.value.scale.max) return;
  // Shown where the function says it, and in `defaults` only when the function says nothing.
  place at = merged.scale_max.value_or(merged.scale_min.value_or(place{}));
  auto const own = [&](const std::optional<place>& p, const std::optional<place>& inherited) {
    return p && (!inherited || p->file != inherited->file || !(p->at == inherited->at));
  };
  if (own(merged.scale_min, defaults.scale_min) && !own(merged.scale_max, defaults.scale_max)) at = *merged.scale_min;
  in.problems.add(at, "`min` (" + std::to_string(merged.value.scale.min) + ") is more than `max` (" +
                          std::to_string(merged.value.scale.max) + "): raise `max` or lower `min`");
}

class fnv1a {
 public:
  void number(std::uint64_t value) {
    for (unsigned shift = 0; shift < 64; shift += 8) byte(static_cast<std::uint8_t>(value >> shift));
  }
  void text(std::string_view value) {
    number(value.size());
    for (char c : value) byte(static_cast<std::uint8_t>(c));
  }
  [[nodiscard]] std::uint32_t folded() const { return static_cast<std::uint32_t>(state_ ^ (state_ >> 32U)); }

 private:
  void byte(std::uint8_t value) { state_ = (state_ ^ value) * 0x100000001b3ULL; }
  std::uint64_t state_ = 0xcbf29ce484222325ULL;
};

}  // namespace

void read_defaults(const scope& in, const node& map, function_draft& out) {
  read_fields(in, map, "defaults", shared_fields, out);
}

std::optional<function> read_function(const scope& in, const member& entry, const function_draft& defaults) {
  bool const named = is_dns_label(entry.key);
  if (!named) in.fail(entry.at, bad_name(entry.key));
  function_draft merged = defaults;
  merged.value.name = entry.key;
  if (merged.value.directory.empty()) merged.value.directory = in.folder;
  const node& value = *entry.value;
  if (value.type == node::kind::null && !value.broken) {
    in.fail(entry.at,
            "function " + shown(entry.key) + " is empty: give it a `command`, such as `command: [python3, app.py]`");
  } else if (const node* map = mapping(in, entry)) {
    read_fields(in, *map, "function", function_fields, merged);
    if (!merged.has_command) {
      in.fail(entry.at,
              "function " + shown(entry.key) + " has no `command`: add one, such as `command: [python3, app.py]`");
    }
    check_scale(in, merged, defaults);
  }
  if (!named) return std::nullopt;
  merged.value.revision = revision_name(merged.value);
  return std::move(merged.value);
}

std::string revision_name(const function& value) {
  fnv1a hash;
  hash.number(value.command.size());
  for (const std::string& word : value.command) hash.text(word);
  hash.number(value.env.size());
  for (const auto& [name, content] : value.env) {
    hash.text(name);
    hash.text(content);
  }
  hash.text(value.directory);
  constexpr std::string_view digits = "0123456789abcdef";
  std::string out = value.name + "-";
  for (int shift = 28; shift >= 0; shift -= 4) out += digits[(hash.folded() >> static_cast<unsigned>(shift)) & 15U];
  return out;
}

void add_function_keys(std::vector<key_section>& out) {
  out.push_back({"defaults", keys_of(shared_fields)});
  out.push_back({"function", keys_of(function_fields)});
  out.push_back({"function.ready", keys_of(ready_fields)});
  out.push_back({"function.scale", keys_of(scale_fields)});
  out.push_back({"function.queue", keys_of(queue_fields)});
  out.push_back({"function.retry", keys_of(retry_fields)});
}

}  // namespace rouse::config

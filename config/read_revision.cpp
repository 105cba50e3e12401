#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "config/readers.hpp"

namespace rouse::config {
namespace {

using draft = revision_draft;

/// Most slots on one instance that a limit may allow; 0 means no limit.
constexpr std::uint64_t most_slots = 1'000'000;

void read_command(const scope& in, const member& entry, draft& out) {
  out.can_run.insert(pool_backend::process);
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
  std::string path = absolute_path(in.folder, *text);
  auto const [known, fresh] = in.found.directories.try_emplace(path);
  if (fresh) known->second = directory_problem(path);
  if (known->second.empty()) {
    out.value.directory = std::move(path);
  } else {
    in.fail(entry, "is " + shown(path) + ", which " + known->second);
  }
}

using ready_field = field<revision>;
constexpr std::array ready_fields{ready_field{
    "path", [](const scope& in, const member& e, revision& out) {
      read_scalar(in, e, out.ready_path, [](const std::string& text) -> parsed<std::string> {
        bool const visible =
            std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7F && c != '#'; });
        if (!text.empty() && text.front() == '/' && visible) return {text, {}};
        return {std::nullopt,
                "must be a path that begins with `/`, without spaces or `#`, such as `/healthz`, not " + shown(text)};
      });
    }}};

using retry_field = field<retry>;
constexpr std::array retry_fields{
    retry_field{"attempts",
                [](const scope& in, const member& e, retry& out) { read_whole(in, e, 1, 100, out.attempts); }},
    retry_field{"budget",
                [](const scope& in, const member& e, retry& out) { read_scalar(in, e, out.budget, parse_part); }},
};

using outlier_field = field<outlier>;
constexpr std::array outlier_fields{
    outlier_field{"failures", [](const scope& in, const member& e,
                                 outlier& out) { read_whole(in, e, 0, 1'000'000, out.failures); }},
    outlier_field{"eject", [](const scope& in, const member& e,
                              outlier& out) { read_duration(in, e, zero::refused, out.eject); }},
};

constexpr std::array revision_fields{
    field<draft>{"command", read_command},
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
    field<draft>{"drain_max", [](const scope& in, const member& e,
                                 draft& out) { read_duration(in, e, zero::allowed, out.value.drain_max); }},
    field<draft>{"scale", read_scale},
    field<draft>{"retry",
                 [](const scope& in, const member& e, draft& out) {
                   if (const node* map = mapping(in, e))
                     read_fields(in, *map, "function.retry", retry_fields, out.value.retry);
                 }},
    field<draft>{"outlier",
                 [](const scope& in, const member& e, draft& out) {
                   if (const node* map = mapping(in, e))
                     read_fields(in, *map, "function.outlier", outlier_fields, out.value.outlier);
                 }},
    field<draft>{"pools", read_pool_uses},
};

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

std::string absolute_path(const std::string& folder, const std::string& path) {
  std::string out = (std::filesystem::path(folder) / path).lexically_normal().string();
  if (out.size() > 1 && out.back() == '/') out.pop_back();
  return out;
}

bool read_revision_key(const scope& in, const member& entry, revision_draft& out) {
  return read_field(in, entry, revision_fields, out) || read_run_key(in, entry, out);
}

std::vector<std::string_view> revision_keys() {
  auto all = keys_of(revision_fields);
  for (std::string_view key : run_keys()) all.push_back(key);
  return all;
}

void finish_revision(const scope& in, revision_draft& out) {
  if (out.value.pools.empty()) out.value.pools.push_back({});
  finish_scale(in, out);
  std::uint64_t room = 0;
  for (const pool_use& use : out.value.pools) {
    if (use.max == 0) return;
    room += use.max;
  }
  if (out.value.scale.min <= room) return;
  in.problems.add(out.pools.level >= out.min.level ? out.pools.at : out.min.at,
                  "`min` (" + std::to_string(out.value.scale.min) + ") is more than all that `pools` allows (" +
                      std::to_string(room) + "): raise a `max` there, add a pool, or lower `min`");
}

std::uint32_t identity_of(const revision& value) {
  fnv1a hash;
  hash.number(value.command.size());
  for (const std::string& word : value.command) hash.text(word);
  hash.number(value.env.size());
  for (const auto& [name, content] : value.env) {
    hash.text(name);
    hash.text(content);
  }
  hash.text(value.directory);
  // Only what is there, so that a key which is new to rouse renames nothing.
  auto const more = [&](std::string_view key, std::string_view text) {
    if (text.empty()) return;
    hash.text(key);
    hash.text(text);
  };
  more("image", value.image);
  more("deployment", value.deployment);
  for (const std::string& one : value.endpoints) more("endpoint", one);
  more("url", value.url);
  more("port", value.port == 0 ? value.port_name : std::to_string(value.port));
  more("memory", value.memory == 0 ? "" : std::to_string(value.memory));
  more("cpu", value.cpu == 0 ? "" : std::to_string(value.cpu));
  return hash.folded();
}

std::string automatic_name(const std::string& function, std::uint32_t hash) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string out = function + "-";
  for (int shift = 28; shift >= 0; shift -= 4) out += digits[(hash >> static_cast<unsigned>(shift)) & 15U];
  return out;
}

void add_revision_keys(std::vector<key_section>& out) {
  out.push_back({"function.ready", keys_of(ready_fields)});
  out.push_back({"function.retry", keys_of(retry_fields)});
  out.push_back({"function.outlier", keys_of(outlier_fields)});
  out.push_back({"revision", revision_keys()});
  add_run_keys(out);
  add_scale_keys(out);
}

}  // namespace rouse::config

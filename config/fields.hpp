#pragma once
// How a mapping is read into a value: a table of keys, each with a function that reads one entry, and the readers for
// the usual kinds of entry. The tables are the one list of accepted keys: what is not in them is a problem. One load,
// one thread.

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/config.hpp"
#include "config/problems.hpp"
#include "config/text.hpp"
#include "config/units.hpp"
#include "config/yaml_tree.hpp"

namespace rouse::config {

/// What the readers of one load find out once and use again.
struct findings {
  std::map<std::string, std::string> directories;  ///< absolute folder -> why it cannot be used, or empty
  std::map<std::string, std::string> timezones;    ///< name -> why it is none, or empty
  std::vector<std::string> pools;                  ///< names, by their index in the snapshot
  std::vector<pool_backend> pool_backends;         ///< by the same
  std::set<std::string> refused_pools;             ///< were reported where they are defined
  bool pools_unread = false;                       ///< `pools` could not be read: names cannot be judged
  const kafka_check* check = nullptr;              ///< of properties; none: they are not looked at
};

/// What every reader needs to know: which file it reads, and where problems go.
struct scope {
  const std::string& file;    ///< as shown in problems
  const std::string& folder;  ///< absolute folder of the file; relative paths start here
  problem_list& problems;
  findings& found;

  void fail(mark at, std::string message) const { problems.add(file, at, std::move(message)); }
  /// A problem with the value of `entry`; the message continues the sentence that begins with the key.
  void fail(const member& entry, const std::string& message) const {
    fail(entry.value_mark(), shown(entry.key) + " " + message);
  }
};

/// One accepted key of a mapping that is read into a Target.
template <class Target>
struct field {
  std::string_view key;
  void (*read)(const scope&, const member&, Target&);
};

/// The mapping of `entry`; nullptr (and a problem, unless one was reported before) when it is something else.
[[nodiscard]] const node* mapping(const scope& in, const member& entry);

/// The scalar of `entry`, or nullptr as above.
[[nodiscard]] const std::string* scalar(const scope& in, const member& entry);

/// The texts of a list of scalars, with their marks; items that are not scalars are problems. nullopt when it is no
/// list. `example` shows how such a list is written. With `single`, one scalar stands for a list of one.
struct marked_text {
  const std::string* text;
  mark at;
};
[[nodiscard]] std::optional<std::vector<marked_text>> texts(const scope& in, const member& entry,
                                                            std::string_view example, bool single);

/// The items of a list of mappings; items that are none are problems, and left out. nullopt when it is no list.
/// `what` is one item in words; `example` shows one.
[[nodiscard]] std::optional<std::vector<const node*>> mappings(const scope& in, const member& entry,
                                                               std::string_view what, std::string_view example);

/// A problem for a key that no table has, with the key that was probably meant. `section` is that of accepted_keys().
void unknown_key(const scope& in, const member& entry, std::string_view section);

/// Reads `entry` by the one of `fields` that has its key; false when none has.
template <class Target, std::size_t count>
[[nodiscard]] bool read_field(const scope& in, const member& entry, const std::array<field<Target>, count>& fields,
                              Target& target) {
  for (const field<Target>& f : fields) {
    if (f.key != entry.key) continue;
    f.read(in, entry, target);
    return true;
  }
  return false;
}

/// Reads every member of `map` by `fields` into `target`.
template <class Target, std::size_t count>
void read_fields(const scope& in, const node& map, std::string_view section,
                 const std::array<field<Target>, count>& fields, Target& target) {
  for (const member& entry : map.members) {
    if (!read_field(in, entry, fields, target)) unknown_key(in, entry, section);
  }
}

template <class Target, std::size_t count>
[[nodiscard]] std::vector<std::string_view> keys_of(const std::array<field<Target>, count>& fields) {
  std::vector<std::string_view> out;
  for (const auto& f : fields) out.push_back(f.key);
  return out;
}

/// Reads a scalar with `parse` (text -> parsed<Value>); `out` is unchanged when there is a problem.
template <class Value, class Parse>
void read_scalar(const scope& in, const member& entry, Value& out, Parse&& parse) {
  const std::string* const text = scalar(in, entry);
  if (text == nullptr) return;
  auto result = parse(*text);
  if (result.value) {
    out = static_cast<Value>(std::move(*result.value));
  } else {
    in.fail(entry, result.error);
  }
}

template <class Value>
void read_whole(const scope& in, const member& entry, std::uint64_t least, std::uint64_t most, Value& out) {
  read_scalar(in, entry, out, [&](std::string_view text) { return parse_whole(text, least, most); });
}

void read_decimal(const scope& in, const member& entry, const decimal_range& range, double& out);

enum class zero { allowed, refused };

/// A duration; `zero::refused` where 0 could never work.
void read_duration(const scope& in, const member& entry, zero rule, std::chrono::milliseconds& out);

/// A size from `least` to `most` bytes.
void read_size(const scope& in, const member& entry, std::uint64_t least, std::uint64_t most, std::uint64_t& out);

void read_boolean(const scope& in, const member& entry, bool& out);

/// One of a few words.
template <class Value, std::size_t count>
void read_choice(const scope& in, const member& entry,
                 const std::array<std::pair<std::string_view, Value>, count>& choices, Value& out) {
  read_scalar(in, entry, out, [&](std::string_view text) -> parsed<Value> {
    std::string list;
    std::vector<std::string_view> words;
    for (const auto& [word, value] : choices) {
      if (text == word) return {value, {}};
      list += (words.empty() ? "" : words.size() + 1 == count ? " or " : ", ") + shown(word);
      words.push_back(word);
    }
    std::string_view const near = closest(text, words);
    return {std::nullopt,
            "must be " + list + ", not " + shown(text) + (near.empty() ? "" : ": did you mean " + shown(near) + "?")};
  });
}

}  // namespace rouse::config

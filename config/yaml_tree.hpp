#pragma once
// One YAML file as a tree of plain values with marks, built from yaml-cpp's events rather than its nodes: duplicate
// keys, further documents, quotes that never close and aliases that refer to themselves stay visible, and 10,000
// functions cost a fraction of the memory. Substitution of `${NAME}` happens here, once for each value. Immutable once
// parsed.

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "config/load.hpp"
#include "config/problems.hpp"

namespace rouse::config {

struct node;

/// One entry of a mapping. Keys are text as written.
struct member {
  std::string key;
  mark at;  ///< of the key
  const node* value = nullptr;

  /// Where a problem with the value is shown: the value, or the key when there is no value.
  [[nodiscard]] mark value_mark() const;
};

struct node {
  enum class kind : std::uint8_t { null, scalar, sequence, map };
  kind type = kind::null;
  bool broken = false;      ///< a problem was reported when it was read (substitution, a tag); says nothing further
  bool open = false;        ///< still being read: an alias to it would be a loop
  std::uint8_t height = 0;  ///< lists and mappings one in the other, including this one, aliases followed
  bool plain = false;       ///< scalar: stands without quotes, and not as a block
  mark at;
  std::string text;                ///< scalar: after substitution
  std::vector<const node*> items;  ///< sequence
  std::vector<member> members;     ///< map: in the order of the file, without duplicates
  std::size_t weight = 1;          ///< values below and including this one, aliases counted as often as they occur
};

/// What a node is, for people: "a list".
[[nodiscard]] std::string_view describe(node::kind type);

/// Owns the nodes. `root` is nullptr for a file without any content, and after a syntax error.
struct document {
  std::deque<node> nodes;
  const node* root = nullptr;
  bool syntax_error = false;
};

/// Deepest nesting that is read, aliases followed; the accepted keys need five levels.
inline constexpr std::size_t deepest = 64;
/// Most values that a document may have with its aliases followed (the bound of a "billion laughs" file).
inline constexpr std::size_t most_values = 4'000'000;

/// Parses `text` (UTF-8, a byte order mark is allowed) of the file `name`. Problems go to `problems`: the first syntax
/// error only, but every duplicate key, tag, merge key and failed substitution.
[[nodiscard]] document parse_yaml(std::string_view text, const std::string& name, const environment& env,
                                  problem_list& problems);

}  // namespace rouse::config

#include "config/fields.hpp"

#include "config/keys.hpp"

namespace rouse::config {
namespace {

std::string no_value(const member& entry) {
  return "has no value: give it one, or remove the key " + shown(entry.key);
}

}  // namespace

const node* mapping(const scope& in, const member& entry) {
  const node& value = *entry.value;
  if (value.broken) return nullptr;
  if (value.type == node::kind::map) return &value;
  if (value.type == node::kind::null) {
    in.fail(entry, no_value(entry));
  } else {
    in.fail(entry, "must be a mapping (`key: value`), not " + std::string(describe(value.type)));
  }
  return nullptr;
}

const std::string* scalar(const scope& in, const member& entry) {
  const node& value = *entry.value;
  if (value.broken) return nullptr;
  if (value.type == node::kind::scalar) return &value.text;
  if (value.type == node::kind::null) {
    in.fail(entry, no_value(entry));
  } else {
    in.fail(entry, "must be a single value, not " + std::string(describe(value.type)));
  }
  return nullptr;
}

std::optional<std::vector<marked_text>> texts(const scope& in, const member& entry, std::string_view example,
                                              bool single) {
  const node& value = *entry.value;
  if (value.broken) return std::nullopt;
  if (single && value.type == node::kind::scalar) return std::vector<marked_text>{{&value.text, value.at}};
  if (value.type != node::kind::sequence) {
    in.fail(entry, value.type == node::kind::null
                       ? no_value(entry)
                       : "must be a list such as " + shown(example) + ", not " + std::string(describe(value.type)));
    return std::nullopt;
  }
  std::vector<marked_text> out;
  bool whole = true;
  for (const node* item : value.items) {
    bool const fine = item->type == node::kind::scalar && !item->broken;
    if (fine) out.push_back({&item->text, item->at});
    if (!fine && !item->broken) {
      std::string const has = item->type == node::kind::null ? "empty" : std::string(describe(item->type));
      in.fail(item->at, "each item of " + shown(entry.key) + " must be text, but this one is " + has +
                            (item->type == node::kind::null ? ": write `\"\"` for an empty text" : ""));
    }
    whole = whole && fine;
  }
  if (!whole) return std::nullopt;
  return out;
}

std::optional<std::vector<const node*>> mappings(const scope& in, const member& entry, std::string_view what,
                                                 std::string_view example) {
  const node& value = *entry.value;
  if (value.broken) return std::nullopt;
  if (value.type != node::kind::sequence) {
    in.fail(entry, value.type == node::kind::null
                       ? no_value(entry)
                       : "must be a list such as " + shown("[" + std::string(example) + "]") + ", not " +
                             std::string(describe(value.type)));
    return std::nullopt;
  }
  std::vector<const node*> out;
  for (const node* item : value.items) {
    if (item->broken) continue;
    if (item->type == node::kind::map) {
      out.push_back(item);
    } else {
      in.fail(item->at, std::string(what) + " must be a mapping such as " + shown(example) + ", not " +
                            std::string(describe(item->type)));
    }
  }
  return out;
}

void unknown_key(const scope& in, const member& entry, std::string_view section) {
  in.fail(entry.at, explain_unknown(entry.key, section));
}

void read_decimal(const scope& in, const member& entry, const decimal_range& range, double& out) {
  read_scalar(in, entry, out, [&](std::string_view text) { return parse_decimal(text, range); });
}

void read_duration(const scope& in, const member& entry, zero rule, std::chrono::milliseconds& out) {
  read_scalar(in, entry, out, [&](std::string_view text) {
    auto result = parse_duration(text);
    if (result.value && rule == zero::refused && result.value->count() == 0) {
      return parsed<std::chrono::milliseconds>{std::nullopt, "must be more than 0"};
    }
    return result;
  });
}

void read_size(const scope& in, const member& entry, std::uint64_t least, std::uint64_t most, std::uint64_t& out) {
  read_scalar(in, entry, out, [&](std::string_view text) {
    auto result = parse_size(text);
    if (result.value && (*result.value < least || *result.value > most)) {
      std::string const range = most == largest_size ? "at least " + format_size(least)
                                                     : "from " + format_size(least) + " to " + format_size(most);
      return parsed<std::uint64_t>{std::nullopt, "is " + shown(text) + ", but must be " + range};
    }
    return result;
  });
}

void read_boolean(const scope& in, const member& entry, bool& out) {
  read_scalar(in, entry, out, parse_boolean);
}

}  // namespace rouse::config

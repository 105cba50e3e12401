#include "gateway/events/cloudevents/storage.hpp"

#include <array>
#include <cstdint>

#include "gateway/events/cloudevents/rules.hpp"

namespace rouse::gateway::events {
namespace {

constexpr char version = 1;

struct optional_member {
  std::string_view name;
  std::optional<std::string> cloud_event::*value;
};
/// By their bit in the byte that says which are there.
constexpr std::array optional_members{
    optional_member{"datacontenttype", &cloud_event::datacontenttype},
    optional_member{"dataschema", &cloud_event::dataschema},
    optional_member{"subject", &cloud_event::subject},
    optional_member{"time", &cloud_event::time},
};

void put_number(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7U) out += static_cast<char>(value | 0x80U);
  out += static_cast<char>(value);
}

void put_text(std::string& out, std::string_view text) {
  put_number(out, text.size());
  out += text;
}

/// Reads what stands in front of `rest`; after a failure everything fails.
struct reader {
  std::string_view rest;
  bool good = true;

  std::uint8_t byte() {
    if (!good || rest.empty()) {
      good = false;
      return 0;
    }
    auto const first = static_cast<std::uint8_t>(rest.front());
    rest.remove_prefix(1);
    return first;
  }
  std::uint64_t number() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 63; shift += 7) {
      std::uint8_t const part = byte();
      value |= std::uint64_t{part & 0x7FU} << shift;
      if (part >= 0x80) continue;
      good = good && (part != 0 || shift == 0);  // only the shortest form
      return value;
    }
    good = false;
    return 0;
  }
  std::string_view text() {
    std::uint64_t const size = number();
    good = good && size <= rest.size();
    if (!good) return {};
    std::string_view const out = rest.substr(0, size);
    rest.remove_prefix(size);
    return out;
  }
};

/// Takes an attribute from `in` into `out`; false when it breaks a rule.
bool take(reader& in, detail::event_builder& out, std::string_view name, extension_type type = extension_type::string) {
  std::string_view const value = in.text();
  return in.good && !out.set(name, std::string(value), type);
}

bool take_extensions(reader& in, detail::event_builder& out) {
  std::string_view before;
  std::uint64_t const count = in.number();
  for (std::uint64_t i = 0; i < count; ++i) {
    std::string_view const name = in.text();
    std::uint8_t const type = in.byte();
    bool const right = in.good && name > before && !detail::is_core(name) && type <= 2;
    if (!right || !take(in, out, name, static_cast<extension_type>(type))) return false;
    before = name;
  }
  return in.good;
}

}  // namespace

std::string encode(const cloud_event& event) {
  std::string out;
  out.reserve(64 + event.id.size() + event.source.size() + event.type.size() + event.data.size());
  out += version;
  put_text(out, event.id);
  put_text(out, event.source);
  put_text(out, event.type);
  unsigned there = 0;
  for (std::size_t i = 0; i < optional_members.size(); ++i) {
    if (event.*optional_members[i].value) there |= 1U << i;
  }
  out += static_cast<char>(there);
  for (const optional_member& one : optional_members) {
    if (const auto& value = event.*one.value) put_text(out, *value);
  }
  put_number(out, event.extensions.size());
  for (const auto& [name, one] : event.extensions) {
    put_text(out, name);
    out += static_cast<char>(one.type);
    put_text(out, one.value);
  }
  out += static_cast<char>(event.kind);
  put_text(out, event.data);
  return out;
}

std::optional<cloud_event> decode(std::string_view bytes) {
  reader in{bytes};
  if (in.byte() != version) return std::nullopt;
  detail::event_builder out;
  if (out.set("specversion", std::string(spec_version))) return std::nullopt;
  if (!take(in, out, "id") || !take(in, out, "source") || !take(in, out, "type")) return std::nullopt;
  unsigned const there = in.byte();
  if (there >= 1U << optional_members.size()) return std::nullopt;
  for (std::size_t i = 0; i < optional_members.size(); ++i) {
    if ((there & 1U << i) != 0 && !take(in, out, optional_members[i].name)) return std::nullopt;
  }
  if (!take_extensions(in, out)) return std::nullopt;
  std::uint8_t const kind = in.byte();
  std::string_view const data = in.text();
  bool const right = in.good && in.rest.empty() && kind <= static_cast<std::uint8_t>(data_kind::binary) &&
                     (kind != static_cast<std::uint8_t>(data_kind::none) || data.empty());
  if (!right) return std::nullopt;
  out.set_data(static_cast<data_kind>(kind), std::string(data));
  auto made = std::move(out).finish();
  if (!made) return std::nullopt;
  return *std::move(made);
}

}  // namespace rouse::gateway::events

#include <array>

#include "config/readers.hpp"

namespace rouse::config {
namespace {

enum class bus_store { embedded };

/// There is one kind yet, so that nothing has to be kept.
void read_store(const scope& in, const member& entry, bus& /*out*/) {
  constexpr std::array<std::pair<std::string_view, bus_store>, 1> choices{{{"embedded", bus_store::embedded}}};
  const node& value = *entry.value;
  if (value.type == node::kind::scalar && !value.broken && value.text == "kafka") {
    return in.fail(entry,
                   "is `kafka`, which is not supported by this version of rouse: remove it, the only store is "
                   "`embedded`");
  }
  bus_store only{};
  read_choice(in, entry, choices, only);
}

constexpr std::array bus_fields{
    field<bus>{"store", read_store},
    field<bus>{"retention",
               [](const scope& in, const member& e, bus& out) { read_duration(in, e, zero::refused, out.retention); }},
};

}  // namespace

std::optional<bus> read_bus(const scope& in, const member& entry) {
  bool const named = is_dns_label(entry.key);
  if (!named) in.fail(entry.at, bad_name(entry.key, "a bus's"));
  bus made;
  made.name = entry.key;
  if (const node* map = mapping(in, entry)) read_fields(in, *map, "bus", bus_fields, made);
  if (!named) return std::nullopt;
  return made;
}

void add_bus_keys(std::vector<key_section>& out) {
  out.push_back({"bus", keys_of(bus_fields)});
}

}  // namespace rouse::config

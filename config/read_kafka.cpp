// How to reach a Kafka cluster, and names of topics.

#include <algorithm>

#include "config/readers.hpp"

namespace rouse::config {
namespace {

constexpr std::string_view default_port = "9092";
constexpr std::size_t longest_topic = 249;  // Kafka's own bound

/// `HOST:PORT` of what stands in `brokers`.
parsed<std::string> parse_broker(std::string_view text) {
  using result = parsed<std::string>;
  if (text.empty()) return result{std::nullopt, "has an empty item: write `HOST:PORT`"};
  if (text.find("://") != text.npos) {
    return result{std::nullopt, "has " + shown(text) +
                                    ": write only `HOST:PORT`; `properties` says how to speak to it, such as "
                                    "`security.protocol: sasl_ssl`"};
  }
  if (text.find_first_of(", \t/") != text.npos)
    return result{std::nullopt, "has " + shown(text) + ": write one `HOST:PORT` for each item of the list"};
  std::size_t const bracket = text.rfind(']');
  std::size_t const colon = text.rfind(':');
  bool const has_port = colon != text.npos && (bracket == text.npos || colon > bracket);
  std::string_view const host = text.substr(0, has_port ? colon : text.npos);
  if (host.find(':') != host.npos && (host.front() != '[' || host.back() != ']'))
    return result{std::nullopt, "has " + shown(text) + ": write an IPv6 address in brackets, such as `[::1]:9092`"};
  if (host.empty() || host == "[]") return result{std::nullopt, "has " + shown(text) + ", which has no host"};
  if (!has_port) return {std::string(host) + ":" + std::string(default_port), {}};
  auto const port = parse_whole(text.substr(colon + 1), 1, 65535);
  if (!port.value)
    return result{std::nullopt, "has " + shown(text) + ", whose port is none: write a number from 1 to 65535"};
  return {std::string(host) + ":" + std::to_string(*port.value), {}};
}

}  // namespace

void read_brokers(const scope& in, const member& entry, cluster_draft& out) {
  out.brokers = &entry;
  auto const given = texts(in, entry, "[\"kafka-1:9092\", \"kafka-2:9092\"]", true);
  if (!given) return;
  if (given->empty()) return in.fail(entry, "is empty: write at least one `HOST:PORT`");
  for (const marked_text& one : *given) {
    auto broker = parse_broker(*one.text);
    if (broker.value) {
      out.value.brokers.push_back(std::move(*broker.value));
    } else {
      in.fail(one.at, shown(entry.key) + " " + broker.error);
    }
  }
}

void read_properties(const scope& in, const member& entry, cluster_draft& out) {
  out.properties = &entry;
  const node* const map = mapping(in, entry);
  if (map == nullptr) return;
  for (const member& one : map->members) {
    if (one.key.empty()) {
      in.fail(one.at, "a property needs a name, such as `security.protocol`");
      continue;
    }
    if (const std::string* const text = scalar(in, one)) out.value.properties.emplace_back(one.key, *text);
  }
}

void check_properties(const scope& in, const cluster_draft& draft, bool writes) {
  if (in.found.check == nullptr || draft.properties == nullptr || draft.value.brokers.empty()) return;
  bool right = true;
  for (const member& one : draft.properties->value->members) {
    auto const at = std::find_if(draft.value.properties.begin(), draft.value.properties.end(),
                                 [&](const auto& known) { return known.first == one.key; });
    if (at == draft.value.properties.end()) continue;  // was reported
    kafka_cluster alone;
    alone.brokers = draft.value.brokers;
    alone.properties.push_back(*at);
    auto const problem = (*in.found.check)(alone, writes, false);
    if (problem.empty()) continue;
    right = false;
    in.fail(one.at, problem);
  }
  if (!right) return;
  if (auto const problem = (*in.found.check)(draft.value, writes, true); !problem.empty())
    in.fail(draft.properties->at, problem);
}

parsed<std::string> parse_topic(std::string_view text) {
  using result = parsed<std::string>;
  auto const fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '-';
  };
  if (text.empty()) return result{std::nullopt, "is empty: write the name of a topic"};
  if (text.size() > longest_topic || text == "." || text == ".." || !std::all_of(text.begin(), text.end(), fits)) {
    return result{
        std::nullopt,
        "is " + shown(text) + ", which cannot be a topic's name: use 1 to 249 of a-z, A-Z, 0-9, `.`, `_` and `-`"};
  }
  return {std::string(text), {}};
}

}  // namespace rouse::config

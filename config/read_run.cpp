// How an instance is run, apart from its command: what each kind of backend reads of a revision, and whether a revision
// has what the backends of its pools need.

#include <algorithm>
#include <array>

#include "config/readers.hpp"

namespace rouse::config {
namespace {

using draft = revision_draft;

constexpr std::size_t longest_image = 4096;
constexpr std::size_t longest_url = 2048;
constexpr std::size_t longest_name = 253;  // of a Kubernetes object
constexpr std::size_t longest_port = 15;   // of a port there, by name
constexpr std::size_t most_endpoints = 10'000;
constexpr std::uint64_t least_memory = 6ull * 1024 * 1024;  // Docker's own bound
constexpr double least_cpu = 0.01;
constexpr double most_cpu = 1024;

bool is_visible(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7F; });
}

parsed<std::string> parse_image(const std::string& text) {
  if (is_visible(text) && text.size() <= longest_image && text.front() != '-') return {text, {}};
  return {std::nullopt, "must be the name of an image, such as `registry.example.com/thumb:1.2`, not " + shown(text)};
}

/// Labels of a-z, 0-9 and `-`, with dots in between.
parsed<std::string> parse_deployment(const std::string& text) {
  const std::string_view all = text;
  bool right = !text.empty() && text.size() <= longest_name;
  for (std::size_t from = 0; right && from <= all.size();) {
    std::size_t const dot = std::min(all.find('.', from), all.size());
    right = is_dns_label(all.substr(from, dot - from));
    from = dot + 1;
  }
  if (right) return {text, {}};
  return {std::nullopt, "must be the name of a Deployment, of a-z, 0-9 and `-`, not " + shown(text)};
}

parsed<std::string> parse_url(const std::string& text) {
  bool const known = text.starts_with("http://") || text.starts_with("https://");
  std::size_t const host = text.find("://") + 3;
  bool const whole = known && text.size() > host && text[host] != '/' && text[host] != ':' && text[host] != '?';
  if (whole && is_visible(text) && text.size() <= longest_url && text.find('#') == std::string::npos &&
      text.find('@') == std::string::npos)
    return {text, {}};
  if (whole && text.find('@') != std::string::npos) {
    return {std::nullopt, "must not hold a user or a password: requests are signed with the pool's `secret`"};
  }
  return {std::nullopt, "must be such as `https://scaler.example.com/scale`, not " + shown(text)};
}

/// `HOST:PORT` of an endpoint.
parsed<std::string> parse_endpoint(std::string_view text) {
  using result = parsed<std::string>;
  std::size_t const colon = text.rfind(':');
  std::string_view const host = text.substr(0, std::min(colon, text.size()));
  bool const bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  bool const odd = !is_visible(text) || text.find_first_of("/@?#,") != text.npos;
  if (odd || colon == text.npos || host.empty())
    return result{std::nullopt,
                  "must hold addresses such as `10.0.0.7:8080` or `backend.internal:8080`, not " + shown(text)};
  if (host.find(':') != host.npos && !bracketed)
    return result{std::nullopt, "has " + shown(text) + ": write an IPv6 address in brackets, such as `[::1]:8080`"};
  auto const port = parse_whole(text.substr(colon + 1), 1, 65535);
  if (!port.value)
    return result{std::nullopt, "has " + shown(text) + ", whose port is none: write a number from 1 to 65535"};
  return {std::string(text), {}};
}

void read_endpoints(const scope& in, const member& entry, draft& out) {
  auto const given = texts(in, entry, "[\"10.0.0.7:8080\", \"10.0.0.8:8080\"]", true);
  out.endpoints = {{&in.file, entry.value_mark()}, out.level};
  out.can_run.insert(pool_backend::fixed);
  if (!given) return;
  if (given->empty()) return in.fail(entry, "is empty: write at least one `HOST:PORT`");
  if (given->size() > most_endpoints)
    return in.fail(entry, "has " + std::to_string(given->size()) + " items, but there can be at most " +
                              std::to_string(most_endpoints) + ": use a DNS name that has them all");
  out.value.endpoints.clear();
  for (const marked_text& one : *given) {
    auto made = parse_endpoint(*one.text);
    if (!made.value) {
      in.fail(one.at, shown(entry.key) + " " + made.error);
    } else if (std::find(out.value.endpoints.begin(), out.value.endpoints.end(), *made.value) !=
               out.value.endpoints.end()) {
      in.fail(one.at, shown(entry.key) + " has " + shown(*made.value) + " twice: remove one");
    } else {
      out.value.endpoints.push_back(std::move(*made.value));
    }
  }
}

/// A number, or what Kubernetes takes for the name of a port.
void read_port(const scope& in, const member& entry, draft& out) {
  const std::string* const text = scalar(in, entry);
  if (text == nullptr) return;
  out.port = {{&in.file, entry.value_mark()}, out.level};
  bool const number =
      !text->empty() && std::all_of(text->begin(), text->end(), [](char c) { return c >= '0' && c <= '9'; });
  auto const port = parse_whole(*text, 1, 65535);
  if (port.value) {
    out.value.port = static_cast<std::uint16_t>(*port.value);
    out.value.port_name.clear();
  } else if (!number && is_dns_label(*text) && text->size() <= longest_port) {
    out.value.port = 0;
    out.value.port_name = *text;
  } else {
    in.fail(entry, "must be a number from 1 to 65535, or the name that a port has on Kubernetes, not " + shown(*text));
  }
}

using resource_field = field<revision>;
constexpr std::array resource_fields{
    resource_field{"memory", [](const scope& in, const member& e,
                                revision& out) { read_size(in, e, least_memory, largest_size, out.memory); }},
    resource_field{"cpu",
                   [](const scope& in, const member& e, revision& out) {
                     read_decimal(in, e, {least_cpu, most_cpu}, out.cpu);
                   }},
};

/// A text that only one kind of backend reads, and needs.
template <pool_backend of, std::string revision::*to, parsed<std::string> (*parse)(const std::string&)>
void read_needed(const scope& in, const member& entry, draft& out) {
  out.can_run.insert(of);
  read_scalar(in, entry, out.value.*to, parse);
}

constexpr std::array run_fields{
    field<draft>{"image", read_needed<pool_backend::docker, &revision::image, parse_image>},
    field<draft>{"deployment", read_needed<pool_backend::kubernetes, &revision::deployment, parse_deployment>},
    field<draft>{"endpoints", read_endpoints},
    field<draft>{"url", read_needed<pool_backend::webhook, &revision::url, parse_url>},
    field<draft>{"port", read_port},
    field<draft>{"resources",
                 [](const scope& in, const member& e, draft& out) {
                   const node* const map = mapping(in, e);
                   if (map == nullptr) return;
                   out.resources = {{&in.file, e.value_mark()}, out.level};
                   read_fields(in, *map, "function.resources", resource_fields, out.value);
                 }},
};

/// The key that a backend needs, and how it is written.
struct need {
  std::string_view key;
  std::string_view example;
};

need need_of(pool_backend backend) {
  switch (backend) {
    case pool_backend::process:
      break;
    case pool_backend::docker:
      return {"image", "image: NAME"};
    case pool_backend::kubernetes:
      return {"deployment", "deployment: NAME"};
    case pool_backend::webhook:
      return {"url", "url: https://scaler.example.com/scale"};
    case pool_backend::fixed:
      return {"endpoints", "endpoints: [\"10.0.0.7:8080\"]"};
  }
  return {"command", "command: [python3, app.py]"};
}

/// Where nothing names a pool but something says how to run it elsewhere, that was probably meant.
std::string other_pool(const revision& value) {
  if (!value.image.empty()) return ", or name the pool that runs images: `pools: [docker]`";
  if (!value.deployment.empty()) return ", or name the pool that scales Deployments: `pools: [kubernetes]`";
  if (!value.url.empty()) return ", or name a pool whose `backend` is `webhook`";
  if (!value.endpoints.empty()) return ", or name a pool whose `backend` is `static`";
  return {};
}

}  // namespace

void check_run(const scope& in, const std::string& whose, mark at, const revision_draft& of) {
  bool const chosen = of.pools.anywhere();  // else it is the pool that is there by default
  for (const pool_use& use : of.value.pools) {
    const auto backend = in.found.pool_backends[use.pool];
    const auto name = in.found.pools[use.pool];
    if (!of.can_run.contains(backend)) {
      auto const wants = need_of(backend);
      const std::string needer = " has no `" + std::string(wants.key) + "`, which its pool " + shown(name) + " (" +
                                 to_string(backend) + ") needs: add one, such as `";
      in.fail(at, whose + (chosen ? needer : " has no `command`: add one, such as `") + std::string(wants.example) +
                      "`" + (chosen ? "" : other_pool(of.value)));
      break;
    }
    bool const freezes = backend == pool_backend::process || backend == pool_backend::docker;
    if (!freezes && of.value.scale.to_zero == to_zero::freeze) {
      in.fail(at, whose + " has `to_zero: freeze`, but its pool " + shown(name) + " (" + to_string(backend) +
                      ") cannot freeze instances: use `stop`, or another pool");
    }
    if (!of.value.port_name.empty() && backend != pool_backend::kubernetes) {
      in.problems.add(of.port.at, "`port` is a name, which means something only on Kubernetes, but the pool " +
                                      shown(name) + " is " + to_string(backend) + ": use a number");
    }
    if (backend == pool_backend::fixed && of.value.endpoints.size() > of.value.scale.max) {
      in.problems.add(of.endpoints.at, "`endpoints` has " + std::to_string(of.value.endpoints.size()) +
                                           " items, but `scale.max` is " + std::to_string(of.value.scale.max) +
                                           ": raise it, or some are never used");
    }
    bool const bounded = backend == pool_backend::docker;
    if (of.value.pools.size() == 1 && !bounded && (of.value.memory > 0 || of.value.cpu > 0)) {
      in.problems.add(of.resources.at, "`resources` bounds containers, but the pool " + shown(name) + " is " +
                                           to_string(backend) + ": remove it, or use a `docker` pool");
    }
  }
}

bool read_run_key(const scope& in, const member& entry, revision_draft& out) {
  return read_field(in, entry, run_fields, out);
}

std::vector<std::string_view> run_keys() {
  return keys_of(run_fields);
}

void add_run_keys(std::vector<key_section>& out) {
  out.push_back({"function.resources", keys_of(resource_fields)});
}

}  // namespace rouse::config

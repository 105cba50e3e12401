#include "gateway/admin/endpoints.hpp"

#include <array>
#include <charconv>
#include <system_error>
#include <utility>

#include "gateway/version.hpp"

namespace rouse::gateway {
namespace {

constexpr std::array<std::pair<std::string_view, endpoint>, 8> paths{{{"/", endpoint::root},
                                                                      {"/healthz", endpoint::healthz},
                                                                      {"/readyz", endpoint::readyz},
                                                                      {"/metrics", endpoint::metrics},
                                                                      {"/openapi.json", endpoint::openapi},
                                                                      {"/api/v1/functions", endpoint::functions},
                                                                      {"/api/v1/instances", endpoint::instances},
                                                                      {"/api/v1/logs", endpoint::logs}}};
constexpr std::string_view function_prefix = "/api/v1/functions/";

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// Percent-decoding of a query's value, with `+` as a space.
bool decode(std::string_view text, std::string& out) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+') {
      out += ' ';
    } else if (text[i] != '%') {
      out += text[i];
    } else {
      const int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
      const int low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
      if (high < 0 || low < 0) return false;
      out += static_cast<char>(high * 16 + low);
      i += 2;
    }
  }
  return true;
}

template <typename Number>
bool parse_number(std::string_view text, Number& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

/// Sets one parameter; says why not otherwise.
bool set_parameter(logs_query& query, std::string_view name, const std::string& value, std::string& why) {
  if (name == "function") {
    query.function = value;
    if (!value.empty()) return true;
    why = "function is empty; give the name of a function";
  } else if (name == "after") {
    if (parse_number(value, query.after)) return true;
    why = "after must be the number of a line, for example after=120";
  } else if (name == "limit") {
    if (parse_number(value, query.limit) && query.limit >= 1 && query.limit <= 1000) return true;
    why = "limit must be a number from 1 to 1000";
  } else if (name == "follow") {
    query.follow = value == "true";
    if (query.follow || value == "false") return true;
    why = "follow must be true or false";
  } else {
    why = "there is no parameter of that name; logs takes function, after, limit and follow";
  }
  return false;
}

// {version} is replaced.
constexpr std::string_view openapi_text = R"({
  "openapi": "3.0.3",
  "info": {"title": "rouse admin interface", "version": "{version}",
    "description": "Health, metrics, and what every function does now. Nothing here changes state."},
  "components": {
    "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "server.admin_token, when one is set"}},
    "schemas": {
      "Instance": {"type": "object", "properties": {
        "id": {"type": "integer"}, "name": {"type": "string"},
        "state": {"type": "string", "description": "starting, ready, draining, ..."},
        "address": {"type": "string", "nullable": true}, "in_flight": {"type": "integer"},
        "age_ms": {"type": "integer"}}},
      "Decision": {"type": "object", "properties": {
        "at": {"type": "string", "format": "date-time"}, "from": {"type": "integer"}, "to": {"type": "integer"},
        "reason": {"type": "string"}}},
      "Function": {"type": "object", "properties": {
        "name": {"type": "string"}, "revision": {"type": "string"}, "parked": {"type": "integer"},
        "parked_bytes": {"type": "integer"}, "in_flight": {"type": "integer"}, "desired": {"type": "integer"},
        "cold_starts": {"type": "integer"},
        "failure": {"type": "string", "nullable": true, "description": "why the last start failed, while that holds"},
        "instances": {"type": "array", "items": {"$ref": "#/components/schemas/Instance"}},
        "decisions": {"type": "array", "description": "the last ten, newest first",
          "items": {"$ref": "#/components/schemas/Decision"}}}},
      "LogLine": {"type": "object", "properties": {
        "number": {"type": "integer"}, "at": {"type": "string", "format": "date-time"},
        "instance": {"type": "string"}, "text": {"type": "string"}}},
      "Problem": {"type": "object", "properties": {
        "type": {"type": "string"}, "title": {"type": "string"}, "status": {"type": "integer"},
        "detail": {"type": "string"}}}}},
  "security": [{}, {"token": []}],
  "paths": {
    "/": {"get": {"summary": "The endpoints, as plain text", "responses": {"200": {"description": "a list",
      "content": {"text/plain": {}}}}}},
    "/healthz": {"get": {"summary": "Alive", "security": [{}], "responses": {"200": {"description": "the daemon runs",
      "content": {"text/plain": {}}}}}},
    "/readyz": {"get": {"summary": "Ready for requests", "security": [{}], "responses": {
      "200": {"description": "ready", "content": {"text/plain": {}}},
      "503": {"description": "not ready; the body is one word that says why", "content": {"text/plain": {}}}}}},
    "/metrics": {"get": {"summary": "Metrics for Prometheus", "responses": {"200": {"description": "text format 0.0.4",
      "content": {"text/plain": {}}}}}},
    "/openapi.json": {"get": {"summary": "This document", "responses": {"200": {"description": "OpenAPI 3",
      "content": {"application/json": {}}}}}},
    "/api/v1/functions": {"get": {"summary": "All functions", "responses": {"200": {"description": "functions",
      "content": {"application/json": {"schema": {"type": "object", "properties": {
        "functions": {"type": "array", "items": {"$ref": "#/components/schemas/Function"}}}}}}}}}},
    "/api/v1/functions/{name}": {"get": {"summary": "One function",
      "parameters": [{"name": "name", "in": "path", "required": true, "schema": {"type": "string"}}],
      "responses": {
        "200": {"description": "the function",
          "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Function"}}}},
        "404": {"description": "no such function",
          "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}}}}},
    "/api/v1/instances": {"get": {"summary": "All instances of all functions", "responses": {"200": {
      "description": "instances, each with its function and revision",
      "content": {"application/json": {"schema": {"type": "object", "properties": {
        "instances": {"type": "array", "items": {"$ref": "#/components/schemas/Instance"}}}}}}}}}},
    "/api/v1/logs": {"get": {"summary": "What the instances of a function wrote lately",
      "parameters": [
        {"name": "function", "in": "query", "required": true, "schema": {"type": "string"}},
        {"name": "after", "in": "query", "description": "only lines with a greater number",
          "schema": {"type": "integer", "default": 0}},
        {"name": "limit", "in": "query", "description": "the newest so many",
          "schema": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 1000}},
        {"name": "follow", "in": "query", "description": "go on with new lines until the caller leaves",
          "schema": {"type": "boolean", "default": false}}],
      "responses": {
        "200": {"description": "one JSON object per line",
          "content": {"application/x-ndjson": {"schema": {"$ref": "#/components/schemas/LogLine"}}}},
        "400": {"description": "a parameter is unknown, missing or not valid",
          "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}},
        "404": {"description": "no such function",
          "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}}}}}}
}
)";

}  // namespace

admin_target match_target(std::string_view target) {
  admin_target out;
  const auto mark = target.find('?');
  const auto path = target.substr(0, mark);
  if (mark != std::string_view::npos) out.query = target.substr(mark + 1);
  for (const auto& [known, what] : paths) {
    if (path == known) out.what = what;
  }
  if (path.substr(0, function_prefix.size()) == function_prefix) {
    out.name = path.substr(function_prefix.size());
    if (!out.name.empty() && out.name.find('/') == std::string_view::npos) out.what = endpoint::function;
  }
  return out;
}

std::optional<logs_query> parse_logs_query(std::string_view query, std::string& why) {
  logs_query out;
  std::string names_seen;
  while (!query.empty()) {
    const auto part = query.substr(0, query.find('&'));
    query.remove_prefix(part.size() + (part.size() < query.size() ? 1 : 0));
    if (part.empty()) continue;
    const auto equals = part.find('=');
    const auto name = part.substr(0, equals);
    std::string value;
    if (equals != std::string_view::npos && !decode(part.substr(equals + 1), value)) {
      why = "the query holds a % without two hexadecimal digits behind it";
      return {};
    }
    if (!set_parameter(out, name, value, why)) return {};
    const std::string mark = '&' + std::string(name) + '&';
    if (names_seen.find(mark) != std::string::npos) {
      why = std::string(name) + " is given twice";
      return {};
    }
    names_seen += mark;
  }
  if (out.function.empty()) {
    why = "the parameter function is missing, for example /api/v1/logs?function=hello";
    return {};
  }
  return out;
}

std::string openapi_json() {
  std::string text(openapi_text);
  constexpr std::string_view mark = "{version}";
  return text.replace(text.find(mark), mark.size(), version());
}

std::string root_text() {
  return std::string("rouse ") + version() +
         ", admin interface\n\n"
         "GET /healthz                         the daemon runs\n"
         "GET /readyz                          it takes requests\n"
         "GET /metrics                         for Prometheus\n"
         "GET /api/v1/functions                every function: instances, parked, in flight, last scale decisions\n"
         "GET /api/v1/functions/NAME           one of them\n"
         "GET /api/v1/instances                every instance\n"
         "GET /api/v1/logs?function=NAME       what its instances wrote; &follow=true, &after=N, &limit=N\n"
         "GET /openapi.json                    all this for machines\n\n"
         "From a terminal: rouse status, rouse logs NAME\n";
}

}  // namespace rouse::gateway

// The OpenAPI 3 document.

#include "gateway/admin/endpoints.hpp"
#include "gateway/version.hpp"

namespace rouse::gateway {
namespace {

// {version} is replaced.
constexpr std::string_view openapi_text = R"({
  "openapi": "3.0.3",
  "info": {"title": "rouse admin interface", "version": "{version}",
    "description": "Health, metrics, what every function does now, and the few things that can be changed while it runs. What changes state needs the field Content-Type: application/json, and no Origin but the interface's own."},
  "components": {
    "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "server.admin_token, when one is set"}},
    "schemas": {
      "Instance": {"type": "object", "properties": {
        "id": {"type": "integer"}, "name": {"type": "string"},
        "pool": {"type": "string"}, "revision": {"type": "string"},
        "state": {"type": "string", "description": "starting, ready, ejected, frozen, draining, stopping"},
        "address": {"type": "string", "nullable": true}, "in_flight": {"type": "integer"},
        "progress": {"type": "string", "nullable": true, "description": "of its start, where the backend tells"},
        "age_ms": {"type": "integer"}}},
      "Decision": {"type": "object", "properties": {
        "at": {"type": "string", "format": "date-time"}, "from": {"type": "integer"}, "to": {"type": "integer"},
        "cause": {"type": "string", "description": "a word, the label of the metric"},
        "reason": {"type": "string"}, "revision": {"type": "string"}}},
      "Revision": {"type": "object", "properties": {
        "revision": {"type": "string"}, "role": {"type": "string", "enum": ["serving", "coming", "leaving"]},
        "weight": {"type": "integer"}, "parked": {"type": "integer"}, "in_flight": {"type": "integer"},
        "min": {"type": "integer"}, "max": {"type": "integer"}, "desired": {"type": "integer"},
        "waits_for": {"type": "string", "nullable": true}, "cold_starts": {"type": "integer"},
        "ejections": {"type": "integer"}, "thaws": {"type": "integer"},
        "failure": {"type": "string", "nullable": true}}},
      "Function": {"type": "object", "properties": {
        "name": {"type": "string"}, "revision": {"type": "string"}, "parked": {"type": "integer"},
        "parked_bytes": {"type": "integer"}, "in_flight": {"type": "integer"}, "desired": {"type": "integer"},
        "cold_starts": {"type": "integer"},
        "failure": {"type": "string", "nullable": true, "description": "why the last start failed, while that holds"},
        "rollout": {"type": "string", "nullable": true, "description": "what goes on between revisions"},
        "set": {"type": "object", "description": "what was set by command, in place of the file's", "properties": {
          "min": {"type": "integer"}, "max": {"type": "integer"}, "traffic": {"type": "boolean"}}},
        "revisions": {"type": "array", "items": {"$ref": "#/components/schemas/Revision"}},
        "instances": {"type": "array", "items": {"$ref": "#/components/schemas/Instance"}},
        "decisions": {"type": "array", "description": "of all revisions, the last ten, newest first",
          "items": {"$ref": "#/components/schemas/Decision"}}}},
      "LogLine": {"type": "object", "properties": {
        "number": {"type": "integer"}, "at": {"type": "string", "format": "date-time"},
        "instance": {"type": "string"}, "text": {"type": "string"}}},
      "Event": {"type": "object", "properties": {
        "number": {"type": "integer"}, "at": {"type": "string", "format": "date-time"},
        "type": {"type": "string", "enum": ["scale", "start", "progress", "ready", "found", "leaving", "stopped",
          "crashed", "failed", "no-capacity", "ejected", "restored", "traffic", "pool"]},
        "function": {"type": "string"}, "revision": {"type": "string"}, "instance": {"type": "string"},
        "pool": {"type": "string"}, "cause": {"type": "string", "description": "of a scaling, a failure, an end"},
        "from": {"type": "integer"}, "to": {"type": "integer"}, "text": {"type": "string"}}},
      "Pool": {"type": "object", "properties": {
        "name": {"type": "string"}, "backend": {"type": "string"}, "instances": {"type": "integer"},
        "max_instances": {"type": "integer", "nullable": true, "description": "in force now; null: no bound"},
        "reserved": {"type": "integer"}, "cost": {"type": "number", "description": "of one instance-hour"},
        "cost_total": {"type": "number", "description": "instance-hours, at least the reserved ones, x cost"},
        "cordoned": {"type": "boolean"},
        "standby": {"type": "boolean", "description": "another rouse works it"},
        "problem": {"type": "string", "nullable": true, "description": "what is wrong with its backend"}}},
      "Choice": {"type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": false, "properties": {
        "owner": {"type": "string", "description": "all of this trigger or function"},
        "id": {"type": "integer", "description": "this one"}}},
      "Done": {"type": "object", "properties": {
        "detail": {"type": "string"}, "lines": {"type": "array", "items": {"type": "string"}}}},
      "Problem": {"type": "object", "properties": {
        "type": {"type": "string"}, "title": {"type": "string"}, "status": {"type": "integer"},
        "detail": {"type": "string"}, "lines": {"type": "array", "items": {"type": "string"},
          "description": "of a reload: the configuration's problems as FILE:LINE:COLUMN"}}}},
    "responses": {
      "Done": {"description": "done; 202: begun, and goes on by itself",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Done"}}}},
      "Problem": {"description": "what is wrong and what to do",
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}}},
    "parameters": {"name": {"name": "name", "in": "path", "required": true, "schema": {"type": "string"}}}},
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
    "/api/v1/functions/{name}/scale": {"put": {"summary": "Bounds in place of the file's; what is not given stays",
      "parameters": [{"$ref": "#/components/parameters/name"}],
      "requestBody": {"required": true, "content": {"application/json": {
        "schema": {"type": "object", "minProperties": 1, "additionalProperties": false,
          "properties": {"min": {"type": "integer", "minimum": 0}, "max": {"type": "integer", "minimum": 1}}}}}},
      "responses": {"200": {"$ref": "#/components/responses/Done"}, "4XX": {"$ref": "#/components/responses/Problem"}}}},
    "/api/v1/functions/{name}/traffic": {"put": {"summary": "Weights in place of the file's, by the revision's name; those not named get 0",
      "parameters": [{"$ref": "#/components/parameters/name"}],
      "requestBody": {"required": true, "content": {"application/json": {
        "schema": {"type": "object", "minProperties": 1,
          "additionalProperties": {"type": "integer", "minimum": 0}}}}},
      "responses": {"200": {"$ref": "#/components/responses/Done"}, "4XX": {"$ref": "#/components/responses/Problem"}}}},
    "/api/v1/functions/{name}/restart": {"post": {"summary": "Replace its instances one by one",
      "parameters": [{"$ref": "#/components/parameters/name"}],
      "requestBody": {"required": false, "content": {"application/json": {
        "schema": {"type": "object", "maxProperties": 0}}}},
      "responses": {"202": {"$ref": "#/components/responses/Done"}, "4XX": {"$ref": "#/components/responses/Problem"}}}},
    "/api/v1/pools": {"get": {"summary": "All pools", "responses": {"200": {"description": "pools",
      "content": {"application/json": {"schema": {"type": "object", "properties": {
        "pools": {"type": "array", "items": {"$ref": "#/components/schemas/Pool"}}}}}}}}}},
    "/api/v1/pools/{name}/cordon": {"put": {"summary": "No new instances there, or as ever again",
      "parameters": [{"$ref": "#/components/parameters/name"}],
      "requestBody": {"required": true, "content": {"application/json": {
        "schema": {"type": "object", "required": ["cordoned"], "additionalProperties": false,
          "properties": {"cordoned": {"type": "boolean"}}}}}},
      "responses": {"200": {"$ref": "#/components/responses/Done"}, "4XX": {"$ref": "#/components/responses/Problem"}}}},
    "/api/v1/triggers": {"get": {"summary": "Triggers and queued invocations: what waits, what was delivered, why nothing is",
      "responses": {"200": {"description": "by name", "content": {"application/json": {"schema": {"type": "object"}}}}}}},
    "/api/v1/dead-letters": {"get": {"summary": "Events and invocations that were given up, at most 1000, by id",
      "parameters": [
        {"name": "owner", "in": "query", "description": "of this trigger or function only", "schema": {"type": "string"}},
        {"name": "after", "in": "query", "description": "those with a higher id", "schema": {"type": "integer", "default": 0}}],
      "responses": {"200": {"description": "without their content",
        "content": {"application/json": {"schema": {"type": "object"}}}},
        "400": {"$ref": "#/components/responses/Problem"}}}},
    "/api/v1/dead-letters/{name}": {"get": {"summary": "One dead letter with its content",
      "parameters": [{"$ref": "#/components/parameters/name"}],
      "responses": {"200": {"description": "the dead letter", "content": {"application/json": {"schema": {"type": "object"}}}},
        "404": {"$ref": "#/components/responses/Problem"}}}},
    "/api/v1/dead-letters/redrive": {"post": {"summary": "Take dead letters out and deliver them again",
      "requestBody": {"required": true, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Choice"}}}},
      "responses": {"200": {"$ref": "#/components/responses/Done"}, "4XX": {"$ref": "#/components/responses/Problem"}}}},
    "/api/v1/dead-letters/purge": {"post": {"summary": "Remove dead letters",
      "requestBody": {"required": true, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Choice"}}}},
      "responses": {"200": {"$ref": "#/components/responses/Done"}, "4XX": {"$ref": "#/components/responses/Problem"}}}},
    "/api/v1/reload": {"post": {"summary": "Read the configuration again and apply it, all or nothing",
      "requestBody": {"required": false, "content": {"application/json": {
        "schema": {"type": "object", "maxProperties": 0}}}},
      "responses": {"200": {"$ref": "#/components/responses/Done"}, "4XX": {"$ref": "#/components/responses/Problem"}}}},
    "/api/v1/drain": {"post": {"summary": "End the daemon as SIGTERM does",
      "requestBody": {"required": false, "content": {"application/json": {
        "schema": {"type": "object", "maxProperties": 0}}}},
      "responses": {"202": {"$ref": "#/components/responses/Done"}, "4XX": {"$ref": "#/components/responses/Problem"}}}},
    "/api/v1/events": {"get": {"summary": "What rouse does, as it does it: server-sent events, first those that it remembers",
      "parameters": [
        {"name": "function", "in": "query", "description": "only of this one", "schema": {"type": "string"}},
        {"name": "after", "in": "query", "description": "only events with a greater number; Last-Event-ID goes before it",
          "schema": {"type": "integer", "default": 0}},
        {"name": "limit", "in": "query", "description": "of those that it remembers, the newest so many",
          "schema": {"type": "integer", "minimum": 0, "maximum": 1000, "default": 1000}}],
      "responses": {
        "200": {"description": "events whose data is an Event, until the caller leaves",
          "content": {"text/event-stream": {"schema": {"$ref": "#/components/schemas/Event"}}}},
        "400": {"description": "a parameter is unknown or not valid",
          "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}},
        "503": {"description": "too many callers follow logs or events",
          "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}}}}},
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

std::string openapi_json() {
  std::string text(openapi_text);
  constexpr std::string_view mark = "{version}";
  return text.replace(text.find(mark), mark.size(), version());
}

}  // namespace rouse::gateway

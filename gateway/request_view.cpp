#include "gateway/request_view.hpp"

#include <algorithm>

namespace rouse::gateway {

namespace {

std::string_view without_port(std::string_view host) {
  const auto bracket = host.rfind(']');
  const auto colon = host.rfind(':');
  if (colon == std::string_view::npos || (bracket != std::string_view::npos && colon < bracket)) return host;
  return host.substr(0, colon);
}

}  // namespace

bool field_value(const void* fields, std::string_view name, std::string& value) {
  const auto& head = *static_cast<const http::request_head*>(fields);
  bool found = false;
  value.clear();
  for (const auto& field : head.fields) {
    const bool same = field.name.size() == name.size() &&
                      std::equal(name.begin(), name.end(), field.name.begin(), [](char wanted, char sent) {
                        return wanted == (sent >= 'A' && sent <= 'Z' ? static_cast<char>(sent + 32) : sent);
                      });
    if (!same) continue;
    if (found) value += ", ";
    value += field.value;
    found = true;
  }
  return found;
}

router::request_view view_of(const http::request_head& head) {
  router::request_view view;
  view.method = head.method;
  view.host = without_port(head.host);
  view.target = head.target;
  view.fields = &head;
  view.field = &field_value;
  return view;
}

}  // namespace rouse::gateway

#pragma once
// A CloudEvent (CloudEvents 1.0.2) as a plain value, apart from how it travels. What parsers of this folder return, and
// what validate() accepts, keeps every rule of the specification. Values and pure functions; any thread.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "gateway/events/cloudevents/result.hpp"

namespace rouse::gateway::events {

/// The JSON type that an extension came with, so that it leaves with the same. In binary mode all are strings.
enum class extension_type : std::uint8_t { string, integer, boolean };

/// The value of an extension: canonical text (`-5`, `true`), which is what binary mode sends and filters compare.
struct extension {
  std::string value;
  extension_type type = extension_type::string;
  friend bool operator==(const extension&, const extension&) = default;
};

/// What is known of the data, for a structured message that says the same.
enum class data_kind : std::uint8_t {
  none,    ///< no data; `data` is empty
  opaque,  ///< came in binary mode: the content type alone says what it is
  json,    ///< valid JSON text; stands in a structured message as it is
  text,    ///< UTF-8; stands there as a JSON string
  binary,  ///< stands there as `data_base64`
};

struct cloud_event {
  std::string id;
  std::string source;
  std::string type;
  std::optional<std::string> datacontenttype;
  std::optional<std::string> dataschema;
  std::optional<std::string> subject;
  std::optional<std::string> time;  ///< RFC 3339, as it came
  std::map<std::string, extension, std::less<>> extensions;
  data_kind kind = data_kind::none;
  std::string data;
  friend bool operator==(const cloud_event&, const cloud_event&) = default;
};

/// The only `specversion` there is.
inline constexpr std::string_view spec_version = "1.0";

/// The canonical text of an attribute or extension, `specversion` included; nullopt where the event has none. Points
/// into the event.
[[nodiscard]] std::optional<std::string_view> attribute(const cloud_event& event, std::string_view name);

/// The kind of the data, `opaque` resolved by the content type: JSON where that says so and the data is JSON, text
/// where it says so and the data is UTF-8, else binary. Reads JSON data once.
[[nodiscard]] data_kind resolved_kind(const cloud_event& event);

/// The first rule that an event made by hand breaks; nullopt when it is valid. Reads JSON data once.
[[nodiscard]] std::optional<event_error> validate(const cloud_event& event);

}  // namespace rouse::gateway::events

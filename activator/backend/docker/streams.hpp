#pragma once
// What comes piece by piece from the Docker Engine: frames of output, lines of JSON, the progress of a pull. Pure.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace rouse::docker {

/// Takes the frames of a container without a terminal apart: eight bytes of head (which stream, and how many bytes),
/// then so many bytes.
class frame_reader {
 public:
  /// Calls `output` with what the container wrote, in pieces of any size.
  void push(std::string_view bytes, const std::function<void(std::string_view)>& output);

 private:
  std::string head_;
  std::size_t left_ = 0;  ///< of the frame under way
};

/// Cuts a stream into lines. One longer than a mebibyte is left out: nothing that rouse looks at is.
class line_reader {
 public:
  void push(std::string_view bytes, const std::function<void(std::string_view)>& line);

 private:
  std::string rest_;
  bool too_long_ = false;
};

/// What a pull says, put together.
class pull_progress {
 public:
  using clock = std::chrono::steady_clock;
  explicit pull_progress(std::string image) : image_(std::move(image)) {}

  /// One line of JSON.
  void hear(std::string_view line);
  /// "pulling python:3: 12 of 45 MiB", when it differs from what was said last, and not more than twice a second.
  [[nodiscard]] std::optional<std::string> news(clock::time_point now);
  /// Why it failed, in the engine's words; empty: it did not.
  [[nodiscard]] const std::string& error() const noexcept { return error_; }

 private:
  [[nodiscard]] std::string text() const;

  struct layer {
    std::uint64_t current = 0;
    std::uint64_t total = 0;
    bool unpacking = false;
  };
  const std::string image_;
  std::map<std::string, layer> layers_;
  std::string error_;
  std::string said_;
  clock::time_point said_at_;
};

}  // namespace rouse::docker

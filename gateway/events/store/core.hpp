#pragma once
// What stands behind the store: the file, its writer and its reader, and how calls become operations of the one and
// tasks of the other.

#include <atomic>
#include <future>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include "gateway/events/store/file.hpp"
#include "gateway/events/store/reader.hpp"
#include "gateway/events/store/writer.hpp"

namespace rouse::gateway::events {

class store_core {
 public:
  store_core(const std::string& directory, const store_options& options)
      : file_(std::make_unique<store_file>(directory, options)) {
    try {
      writer_ = std::make_unique<writer>(file_->path(), options);
      reader_ = std::make_unique<store_reader>(file_->path());
    } catch (const sql_error& error) {
      if (error.kind() == store_errc::corrupt) throw file_->damaged(error.what());
      throw open_error{open_error::kind::io, error.explain(file_->path()).text};
    }
  }
  ~store_core() {
    closing_ = true;
    // The threads end here, while the pointers that their completions may look at are still there.
    if (writer_) writer_->stop();
    if (reader_) reader_->stop();
  }
  store_core(const store_core&) = delete;
  store_core& operator=(const store_core&) = delete;

  /// Has the writer call `apply(tables&, wall_time) -> store_result<T>` and then `done` with what it gave, or with why
  /// it came to nothing.
  template <class T, class function>
  void submit(operation::kind what, std::size_t bytes, bool bounded, function apply, completion<T> done) {
    if (closing_) return done(store_error{store_errc::closed, "the store is closed"});
    std::unique_ptr<operation> made =
        std::make_unique<call<T, function>>(what, bytes + per_operation, std::move(apply), std::move(done));
    if (writer_->submit(made, bounded)) return;
    const store_error busy{store_errc::busy, "too much waits to be written to " + file_->path()};
    made->finish(&busy);
  }
  template <class T, class function>
  void change(std::size_t bytes, bool bounded, function apply, completion<T> done) {
    submit<T>(operation::kind::durable, bytes, bounded, std::move(apply), std::move(done));
  }
  /// The same, and waits for it.
  template <class T, class function>
  store_result<T> change_now(function apply) {
    std::promise<store_result<T>> promise;
    auto future = promise.get_future();
    change<T>(0, false, std::move(apply), [&promise](store_result<T> result) { promise.set_value(std::move(result)); });
    return future.get();
  }
  /// Changes memory only, with the next commit or soon.
  template <class function>
  void note(operation::kind what, std::size_t bytes, function apply) {
    auto all_right = [apply = std::move(apply)](tables& on, wall_time now) mutable -> store_result<void> {
      apply(on, now);
      return {};
    };
    submit<void>(what, bytes, false, std::move(all_right), [](const store_result<void>&) {});
  }
  /// Has the reader call `ask(queries&)`, which gives T or store_result<T>.
  template <class T, class function>
  void ask(function ask, completion<T> done) {
    if (closing_) return done(store_error{store_errc::closed, "the store is closed"});
    auto task = [this, ask = std::move(ask), done](queries& of) mutable {
      store_result<T> result = store_error{};
      try {
        result = ask(of);
      } catch (const sql_error& error) {
        result = error.explain(file_->path());
      }
      done(std::move(result));
    };
    if (reader_->submit(std::move(task))) return;
    done(store_error{store_errc::busy, "too many calls wait to read " + file_->path()});
  }
  writer& of_writer() { return *writer_; }
  [[nodiscard]] bool closing() const { return closing_; }

 private:
  static constexpr std::size_t per_operation = 256;

  template <class T, class function>
  class call : public operation {
   public:
    call(kind what, std::size_t bytes, function apply, completion<T> done)
        : operation(what, bytes), apply_(std::move(apply)), done_(std::move(done)) {}
    void apply(tables& on, wall_time now) override { result_ = apply_(on, now); }
    void finish(const store_error* error) override {
      if (error != nullptr)
        done_(*error);
      else
        done_(std::move(result_));
    }

   private:
    function apply_;
    completion<T> done_;
    store_result<T> result_ = store_error{};
  };

  std::unique_ptr<store_file> file_;
  std::unique_ptr<store_reader> reader_;
  std::unique_ptr<writer> writer_;
  std::atomic<bool> closing_{false};
};

}  // namespace rouse::gateway::events

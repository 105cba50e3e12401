#include "config/load.hpp"

#include <malloc.h>

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <exception>
#include <filesystem>
#include <set>

#include "config/files.hpp"
#include "config/readers.hpp"

namespace rouse::config {
namespace {

namespace fs = std::filesystem;

/// Deepest chain of files that include each other.
constexpr std::size_t most_nested_files = 32;

/// A file that is being read. Stays where it is until the load ends, because places refer to its name.
struct source {
  std::string name;      ///< as shown in problems
  std::string folder;    ///< absolute
  std::string identity;  ///< canonical path; empty for text that is in no file
  document content;
};

class loader {
 public:
  loader(const environment& env, const kafka_check& check) : env_(env) {
    found_.check = check ? &check : nullptr;
    for (const pool_draft& one : pools_) {
      found_.pools.push_back(one.value.name);
      found_.pool_backends.push_back(one.value.backend);
    }
  }

  load_result load_file(const std::string& path) {
    main_ = path;
    std::error_code ignored;
    source& file = sources_.emplace_back();
    file.name = path;
    file.folder = fs::absolute(path).lexically_normal().parent_path().string();
    file.identity = fs::weakly_canonical(path, ignored).string();
    auto text = read_file(path);
    if (text.value) return finish(file, *text.value);
    problems_.add(path, {}, text.error);
    return {std::nullopt, problems_.take()};
  }

  load_result load_text(std::string_view text, const std::string& name) {
    main_ = name;
    source& file = sources_.emplace_back();
    file.name = name;
    file.folder = fs::current_path().string();
    return finish(file, text);
  }

  /// Bytes of YAML that were read.
  [[nodiscard]] std::size_t size() const { return size_; }

  [[nodiscard]] std::vector<std::string> sources() const {
    std::vector<std::string> out = include_folders_;
    for (const source& file : sources_) {
      if (!file.identity.empty()) out.push_back((fs::path(file.folder) / fs::path(file.name).filename()).string());
    }
    return out;
  }

 private:
  load_result finish(source& file, std::string_view text) {
    read(file, text);
    find_names();
    if (common_right_) demand_.check(pools_, problems_);
    if (!problems_.empty()) return {std::nullopt, problems_.take()};
    result_.server.data_dir = absolute_path(file.folder, result_.server.data_dir);
    result_.functions.reserve(functions_.all.size());
    for (auto& [name, entry] : functions_.all) result_.functions.push_back(std::move(entry.value));
    keep_pools();
    result_.routes.reserve(routes_.size());
    for (route_draft& draft : routes_) result_.routes.push_back(std::move(draft.value));
    for (auto& [name, entry] : buses_.all) result_.buses.push_back(std::move(entry.value));
    for (auto& [name, entry] : triggers_.all) result_.triggers.push_back(std::move(entry.value.value));
    return {std::move(result_), {}};
  }

  /// Those of the file, `local`, and what else is used; uses are renumbered.
  void keep_pools() {
    std::vector<bool> used(pools_.size(), false);
    used.front() = true;
    auto const each_use = [this](auto&& visit) {
      for (function& one : result_.functions) {
        for (revision& each : one.revisions) {
          for (pool_use& use : each.pools) visit(use);
        }
      }
    };
    each_use([&](const pool_use& use) { used[use.pool] = true; });
    std::vector<std::uint32_t> number(pools_.size(), 0);
    for (std::size_t i = 0; i < pools_.size(); ++i) {
      if (!used[i] && !pools_[i].named) continue;
      number[i] = static_cast<std::uint32_t>(result_.pools.size());
      result_.pools.push_back(std::move(pools_[i].value));
    }
    each_use([&](pool_use& use) { use.pool = number[use.pool]; });
  }

  [[nodiscard]] bool is_main(const source& file) const { return &file == &sources_.front(); }

  void read(source& file, std::string_view text) {
    size_ += text.size();
    file.content = parse_yaml(text, file.name, env_, problems_);
    const node* const root = file.content.root;
    if (root == nullptr || root->type == node::kind::null) {
      incomplete_ = incomplete_ || file.content.syntax_error;
      return;
    }
    scope const in{file.name, file.folder, problems_, found_};
    if (root->type != node::kind::map) {
      incomplete_ = true;
      return in.fail(root->at, "the file must be a mapping with keys such as `functions`, not " +
                                   std::string(describe(root->type)));
    }
    if (root->broken) return;
    if (is_main(file)) read_common(in, *root);
    const member* include = nullptr;
    for (const member& entry : root->members) {
      if (entry.key == "include")
        include = &entry;
      else
        read_part(in, file, entry);
    }
    // Last, so that a file's own routes come before those of the files it includes.
    if (include != nullptr) read_includes(in, file, *include);
  }

  /// What functions refer to, wherever they stand: `pools`, which `defaults` name as well, then `defaults`.
  void read_common(const scope& in, const node& root) {
    for (const member& entry : root.members) {
      if (entry.key == "pools") read_pools(in, entry, pools_);
    }
    for (const member& entry : root.members) {
      if (entry.key != "defaults") continue;
      if (const node* map = mapping(in, entry)) read_defaults(in, *map, defaults_);
    }
    common_right_ = problems_.empty();
  }

  void read_part(const scope& in, const source& file, const member& entry) {
    if (entry.key == "functions") {
      read_functions(in, entry);
    } else if (entry.key == "buses") {
      for (const member& item : named(in, entry)) define(in, item, "bus", read_bus(in, item), buses_);
    } else if (entry.key == "triggers") {
      for (const member& item : named(in, entry)) define(in, item, "trigger", read_trigger(in, item), triggers_);
    } else if (entry.key == "routes") {
      read_routes(in, entry, routes_);
    } else if ((entry.key == "server" || entry.key == "defaults" || entry.key == "pools") && !is_main(file)) {
      in.fail(entry.at, shown(entry.key) + " can stand only in the main file, " + shown(main_) +
                            ": an included file has `functions`, `routes`, `buses`, `triggers` and `include`");
    } else if (entry.key == "server") {
      if (const node* map = mapping(in, entry)) read_server(in, *map, result_.server);
    } else if (entry.key != "defaults" && entry.key != "pools") {
      unknown_key(in, entry, "");
    }
  }

  /// What stands under a name that no other of its kind may have, in whichever file.
  template <class Value>
  struct defined {
    Value value;
    place at;
  };
  template <class Value>
  struct definitions {
    std::map<std::string, defined<Value>, std::less<>> all;
    std::set<std::string> refused;  ///< were reported for their names
  };

  /// Keeps what `item` defines; nullptr when its name cannot be one, or is taken.
  template <class Value>
  static const Value* define(const scope& in, const member& item, std::string_view what, std::optional<Value> made,
                             definitions<Value>& out) {
    if (!made) {
      out.refused.insert(item.key);
      return nullptr;
    }
    auto const [known, fresh] = out.all.try_emplace(item.key, defined<Value>{std::move(*made), {&in.file, item.at}});
    if (fresh) return &known->second.value;
    const place& first = known->second.at;
    in.fail(item.at, "the " + std::string(what) + " " + shown(item.key) + " is defined twice: here and at " +
                         *first.file + ":" + std::to_string(first.at.line) + ":" + std::to_string(first.at.column));
    return nullptr;
  }

  void read_functions(const scope& in, const member& entry) {
    for (const member& item : named(in, entry)) {
      std::size_t const before = problems_.size();
      const function* const kept = define(in, item, "function", read_function(in, item, defaults_), functions_);
      // One with problems may not be what was meant; without it the sums are still not too high.
      if (kept == nullptr || problems_.size() != before) continue;
      demand_.add(*kept);
      check_deployments(in, item, *kept);
    }
  }

  /// The first pool that reaches the same namespace, as far as the file tells.
  [[nodiscard]] std::uint32_t first_like(std::uint32_t pool) const {
    const auto same = [&](const pool_draft& one) {
      return one.value.backend == pool_backend::kubernetes && one.value.connection == pools_[pool].value.connection;
    };
    return static_cast<std::uint32_t>(std::find_if(pools_.begin(), pools_.end(), same) - pools_.begin());
  }

  /// Two that scale one Deployment would undo each other's work.
  void check_deployments(const scope& in, const member& item, const function& made) {
    for (const revision& one : made.revisions) {
      const auto whose = shown(made.revisions.size() == 1 ? made.name : made.name + "@" + one.name);
      for (const pool_use& use : one.pools) {
        if (found_.pool_backends[use.pool] != pool_backend::kubernetes) continue;
        const auto [other, fresh] = deployments_.try_emplace({first_like(use.pool), one.deployment}, whose);
        if (fresh) continue;
        in.fail(item.at, "function " + whose + " would run in the Deployment " + shown(one.deployment) +
                             " of the pool " + shown(found_.pools[use.pool]) + ", which function " + other->second +
                             " runs in: give each a Deployment of its own");
      }
    }
  }

  /// What a mapping from names defines; nothing where it is none.
  [[nodiscard]] std::span<const member> named(const scope& in, const member& entry) {
    const node* const map = mapping(in, entry);
    if (map != nullptr) return map->members;
    incomplete_ = true;
    return {};
  }

  void read_includes(const scope& in, const source& file, const member& entry) {
    auto const patterns = texts(in, entry, "[functions/*.yaml]", true);
    if (!patterns) {
      incomplete_ = true;
      return;
    }
    for (const marked_text& pattern : *patterns) {
      auto const fail = [&](const std::string& message) {
        incomplete_ = true;
        in.fail(pattern.at, shown(entry.key) + " " + message);
      };
      if (pattern.text->empty()) {
        fail("has an empty name: write the name of a file, or a pattern such as `functions/*.yaml`");
        continue;
      }
      include_folders_.push_back((fs::path(file.folder) / *pattern.text).lexically_normal().parent_path().string());
      auto const found = find_included(file.folder, *pattern.text);
      if (!found.value) {
        fail(found.error);
        continue;
      }
      for (const std::string& path : *found.value) {
        if (std::string why = read_included(file, path, *pattern.text); !why.empty()) fail(why);
      }
    }
  }

  /// How a file that `parent` includes is shown: relative, when the parent was given so.
  [[nodiscard]] static std::string shown_name(const source& parent, const std::string& path) {
    std::string const prefix = parent.folder == "/" ? "/" : parent.folder + "/";
    if (!path.starts_with(prefix)) return path;
    fs::path const folder = parent.identity.empty() ? fs::path() : fs::path(parent.name).parent_path();
    return (folder / path.substr(prefix.size())).lexically_normal().string();
  }

  /// Reads one included file, unless it was read before. Returns why it cannot be included.
  std::string read_included(const source& parent, const std::string& path, const std::string& pattern) {
    std::error_code ignored;
    std::string const identity = fs::weakly_canonical(path, ignored).string();
    std::string const name = shown_name(parent, path);
    open_.push_back(&parent);
    std::string why;
    auto const same = [&](const source* s) { return s->identity == identity; };
    auto const loop = std::find_if(open_.begin(), open_.end(), same);
    if (loop != open_.end()) {
      for (auto s = loop; s != open_.end(); ++s) why += (*s)->name + " -> ";
      why = "makes a circle: " + why + name + "; remove " + shown(pattern) + ", or make it match other files only";
    } else if (open_.size() >= most_nested_files) {
      why = "goes through too many files, " + std::to_string(most_nested_files) +
            " one inside the other: include them from fewer";
    } else if (seen_.insert(identity).second) {
      auto text = read_file(path);
      if (text.value) {
        source& file = sources_.emplace_back();
        file.name = name;
        file.folder = fs::path(path).lexically_normal().parent_path().string();
        file.identity = identity;
        read(file, *text.value);
      } else {
        why = "names " + shown(name) + ", but " + text.error;
      }
    }
    open_.pop_back();
    return why;
  }

  template <class Value>
  static std::vector<std::string_view> names_of(const definitions<Value>& from) {
    std::vector<std::string_view> out;
    out.reserve(from.all.size());
    for (const auto& [name, entry] : from.all) out.push_back(name);
    return out;
  }

  /// Looks up what routes and triggers name.
  void find_names() {
    // With a file that could not be read, what it defines would be reported as missing: that helps nobody.
    if (incomplete_) return;
    name_table functions("function", "functions", names_of(functions_), functions_.refused);
    name_table buses("bus", "buses", names_of(buses_), buses_.refused);
    for (const route_draft& draft : routes_) static_cast<void>(functions.find(draft.function, problems_));
    for (auto& [name, entry] : triggers_.all) resolve(entry.value, functions, buses, problems_);
    std::vector<const bus*> streams;
    for (const auto& [name, entry] : buses_.all) streams.push_back(&entry.value);
    kafka_checks checks(streams);
    for (const auto& [name, entry] : triggers_.all) checks.add(entry.value, problems_);
  }

  const environment& env_;
  std::string main_;
  problem_list problems_;
  std::deque<source> sources_;
  std::vector<const source*> open_;  ///< the chain of files that leads to the one being read
  std::set<std::string> seen_;       ///< included before, by identity
  findings found_;
  std::vector<pool_draft> pools_ = known_pools();
  pool_demand demand_;
  std::map<std::pair<std::uint32_t, std::string>, std::string> deployments_;  ///< pool and name -> who runs in it
  bool common_right_ = true;  ///< no problem with `pools` and `defaults`
  function_draft defaults_;
  definitions<function> functions_;
  definitions<bus> buses_;
  definitions<trigger_draft> triggers_;
  std::vector<route_draft> routes_;
  std::vector<std::string> include_folders_;
  snapshot result_;
  std::size_t size_ = 0;
  bool incomplete_ = false;  ///< something that may define names could not be read
};

/// Runs `work` on a fresh loader; whatever it throws becomes a problem.
template <class Work>
load_result guarded(const std::string& name, const environment& env, const kafka_check& check, Work&& work) {
  load_result out;
  std::size_t size = 0;
  try {
    loader all(env, check);
    out = work(all);
    size = all.size();
    out.sources = all.sources();
  } catch (const std::exception& error) {
    out = {std::nullopt, {{name, 0, 0, std::string("the configuration could not be loaded: ") + error.what()}}};
  }
  // The tree of a large file takes many times its size, and would stay with the process.
  if (size > 256UL * 1024) ::malloc_trim(0);
  return out;
}

}  // namespace

std::string problem::to_string() const {
  if (line == 0) return file + ": " + message;
  return file + ":" + std::to_string(line) + ":" + std::to_string(column) + ": " + message;
}

environment process_environment() {
  return [](const std::string& name) -> std::optional<std::string> {
    const char* const value = std::getenv(name.c_str());
    if (value == nullptr) return std::nullopt;
    return std::string(value);
  };
}

load_result load(const std::string& path, const environment& env, const kafka_check& check) {
  return guarded(path, env, check, [&](loader& all) { return all.load_file(path); });
}

load_result load_text(std::string_view text, const std::string& name, const environment& env,
                      const kafka_check& check) {
  return guarded(name, env, check, [&](loader& all) { return all.load_text(text, name); });
}

}  // namespace rouse::config

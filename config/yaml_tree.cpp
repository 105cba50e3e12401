#include "config/yaml_tree.hpp"

#include <yaml-cpp/depthguard.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <istream>
#include <optional>
#include <streambuf>
#include <unordered_map>
#include <utility>

#include "config/substitute.hpp"
#include "config/text.hpp"
#include "config/yaml_source.hpp"

namespace rouse::config {
namespace {

constexpr std::string_view too_deep = "this is nested too deeply: no key needs so many levels";

/// Ends the parse: nothing after it can be understood.
struct stop {
  mark at;
  std::string message;
};

mark to_mark(const YAML::Mark& m) {
  return {m.line + 1, m.column + 1};
}

/// Reads from memory without the copy a stringstream would make.
class view_buffer : public std::streambuf {
 public:
  explicit view_buffer(std::string_view text) {
    // streambuf's interface wants char*; the get area is never written to.
    char* const begin = const_cast<char*>(text.data());
    setg(begin, begin, begin + text.size());
  }
};

class tree_builder final : public YAML::EventHandler {
 public:
  tree_builder(document& out, const yaml_source& source, const std::string& name, const environment& env,
               problem_list& problems)
      : out_(out), source_(source), name_(name), env_(env), problems_(problems) {}

  void OnDocumentStart(const YAML::Mark& at) override {
    if (++documents_ == 1) return;
    if (source_.starts_with(at.pos, "---")) {
      throw stop{to_mark(at),
                 "a second document begins here, but a file holds one: remove the `---` and what follows, or "
                 "`include` it as a file of its own"};
    }
    throw stop{to_mark(at),
               "this does not belong to what stands above it: check that its indentation is that of the other "
               "keys of the same level"};
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& at, YAML::anchor_t anchor) override {
    bool const in_list = !frames_.empty() && frames_.back().value->type == node::kind::sequence;
    add(make(node::kind::null, in_list ? source_.empty_item(at.pos, to_mark(at)) : to_mark(at), anchor));
  }

  void OnAlias(const YAML::Mark& at, YAML::anchor_t anchor) override {
    node* const target = anchors_[anchor];
    if (target == nullptr || target->open)
      throw stop{to_mark(at), "this alias refers to a value that holds the alias itself"};
    // Else each anchor could hold the one before, and readers would need a stack without bound.
    if (frames_.size() + target->height > deepest) throw stop{to_mark(at), std::string(too_deep)};
    aliased_ += target->weight;
    if (aliased_ > most_values) throw stop{to_mark(at), "the aliases (`*name`) of this file expand to too many values"};
    add(target, to_mark(at));
  }

  void OnScalar(const YAML::Mark& at, const std::string& tag, YAML::anchor_t anchor, const std::string& text) override {
    if (source_.unclosed_quote(at.pos))
      throw stop{to_mark(at), "this quote is never closed: end the text with the same quote"};
    node* const made = make(node::kind::scalar, to_mark(at), anchor);
    made->text = text;
    bool const is_key = !frames_.empty() && frames_.back().wants_key();
    plain_ = tag == "?";
    if (!check_tag(*made, tag, "tag:yaml.org,2002:str")) plain_ = false;
    made->plain = plain_;
    if (!is_key && !made->broken) resolve(*made);
    add(made);
  }

  void OnSequenceStart(const YAML::Mark& at, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value /*style*/) override {
    open(make(node::kind::sequence, to_mark(at), anchor), tag, "tag:yaml.org,2002:seq");
  }
  void OnSequenceEnd() override { close(); }

  void OnMapStart(const YAML::Mark& at, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value /*style*/) override {
    open(make(node::kind::map, to_mark(at), anchor), tag, "tag:yaml.org,2002:map");
  }
  void OnMapEnd() override { close(); }

 private:
  /// A sequence or map that is being read.
  struct frame {
    node* value;
    bool has_key = false;
    bool drop = false;  ///< the key of the value to come was refused
    member pending;
    std::unordered_map<std::string, mark> seen;
    [[nodiscard]] bool wants_key() const { return value->type == node::kind::map && !has_key; }
  };

  node* make(node::kind type, mark at, YAML::anchor_t anchor) {
    node& made = out_.nodes.emplace_back();
    made.type = type;
    made.at = at;
    if (anchor != YAML::NullAnchor) anchors_[anchor] = &made;
    return &made;
  }

  /// Only the tag that says what the value is anyway is taken.
  bool check_tag(node& value, const std::string& tag, std::string_view allowed) {
    if (tag.empty() || tag == "?" || tag == "!" || tag == allowed) return true;
    problems_.add(name_, value.at, "tags such as " + shown(tag) + " are not supported: remove it");
    value.broken = true;
    return false;
  }

  void resolve(node& value) {
    if (value.text.find('\0') != std::string::npos) {
      problems_.add(name_, value.at,
                    "the text holds a NUL character, which no command, variable or header can hold: remove it");
      value.broken = true;
      return;
    }
    if (value.text.find("${") == std::string::npos) return;
    auto result = substitute(value.text, env_);
    if (result.value) {
      value.text = std::move(*result.value);
      return;
    }
    problems_.add(name_, value.at, std::move(result.error));
    value.broken = true;
  }

  void open(node* value, const std::string& tag, std::string_view allowed) {
    if (frames_.size() >= deepest) throw stop{value->at, std::string(too_deep)};
    check_tag(*value, tag, allowed);
    value->open = true;
    value->height = 1;
    frames_.push_back({value, false, false, {}, {}});
  }

  void close() {
    node* const value = frames_.back().value;
    value->open = false;
    frames_.pop_back();
    add(value);
  }

  /// `alias`: where an alias to the value stands, when it is one.
  void add(node* value, std::optional<mark> alias = std::nullopt) {
    if (frames_.empty()) {
      out_.root = value;
      return;
    }
    frame& top = frames_.back();
    if (top.wants_key()) {
      take_key(top, *value, alias);
      return;
    }
    top.value->weight += value->weight;
    top.value->height = std::max<std::uint8_t>(top.value->height, value->height + 1);
    if (top.value->type == node::kind::sequence) {
      top.value->items.push_back(value);
      return;
    }
    if (!top.drop) {
      top.pending.value = value;
      top.value->members.push_back(std::move(top.pending));
    }
    top.pending = {};
    top.has_key = top.drop = false;
  }

  void take_key(frame& top, const node& key, std::optional<mark> alias) {
    top.has_key = true;
    top.drop = true;
    if (key.type != node::kind::scalar || alias) {
      problems_.add(name_, alias.value_or(key.at),
                    "a key must be plain text, not " + std::string(alias ? "an alias" : describe(key.type)));
      return;
    }
    if (plain_ && key.text == "<<") {
      problems_.add(name_, key.at,
                    "merge keys (`<<`) are not supported: put what functions share into `defaults`, or repeat it");
      return;
    }
    auto const [found, fresh] = top.seen.emplace(key.text, key.at);
    if (!fresh) {
      problems_.add(
          name_, key.at,
          shown(key.text) + " is given twice: it stands in line " + std::to_string(found->second.line) + " already");
      return;
    }
    top.drop = key.broken;
    top.pending.key = key.text;
    top.pending.at = key.at;
  }

  document& out_;
  const yaml_source& source_;
  const std::string& name_;
  const environment& env_;
  problem_list& problems_;
  int documents_ = 0;
  bool plain_ = true;  ///< the last scalar stood without quotes
  std::size_t aliased_ = 0;
  std::vector<frame> frames_;
  std::unordered_map<YAML::anchor_t, node*> anchors_;
};

void run_parser(document& out, const yaml_source& source, const std::string& name, const environment& env,
                problem_list& problems) {
  tree_builder builder(out, source, name, env, problems);
  view_buffer buffer(source.text());
  std::istream stream(&buffer);
  YAML::Parser parser(stream);
  while (parser.HandleNextDocument(builder)) {
  }
}

}  // namespace

mark member::value_mark() const {
  return value->type == node::kind::null ? at : value->at;
}

std::string_view describe(node::kind type) {
  switch (type) {
    case node::kind::null:
      return "nothing";
    case node::kind::scalar:
      return "a single value";
    case node::kind::sequence:
      return "a list";
    case node::kind::map:
      return "a mapping";
  }
  return "";
}

document parse_yaml(std::string_view text, const std::string& name, const environment& env, problem_list& problems) {
  document out;
  yaml_source const source(text);
  auto fail = [&](mark at, std::string message) {
    problems.add(name, at, std::move(message));
    out.root = nullptr;
    out.syntax_error = true;
  };
  if (auto refused = source.check()) {
    fail(refused->first, std::move(refused->second));
    return out;
  }
  problem_list found;
  try {
    run_parser(out, source, name, env, found);
    problems.append(std::move(found));
  } catch (const stop& end) {
    fail(end.at, end.message);
  } catch (const YAML::DeepRecursion& error) {
    fail(to_mark(error.mark), std::string(too_deep));
  } catch (const YAML::Exception& error) {
    auto [at, message] = source.explain(to_mark(error.mark), error.mark.pos, error.msg);
    fail(at, std::move(message));
  }
  return out;
}

}  // namespace rouse::config

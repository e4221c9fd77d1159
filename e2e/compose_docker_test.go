package e2e_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// stage is one FROM of a Dockerfile and what follows it.
type stage struct {
	from, name string
	steps      []instruction
}

// instruction is one word of a Dockerfile and what stands behind it.
type instruction struct{ word, rest string }

// last returns the arguments of the last such instruction.
func (s stage) last(word string) (rest string) {
	for _, i := range s.steps {
		if i.word == word {
			rest = i.rest
		}
	}
	return rest
}

// words are the instructions that our files use.
var words = []string{"FROM", "ARG", "WORKDIR", "COPY", "RUN", "LABEL", "USER", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT", "CMD", "ENV"}

// parseDockerfile reads the stages of a file.
func parseDockerfile(file string) (stages []stage, err error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	text := regexp.MustCompile(`(?m)^\s*#.*\n`).ReplaceAllString(string(b), "")
	text = strings.ReplaceAll(text, "\\\n", " ")
	for line := range strings.Lines(text) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		rest = strings.TrimSpace(rest)
		switch {
		case word == "":
			continue
		case !slices.Contains(words, word):
			return nil, fmt.Errorf("%s: unknown instruction %s", filepath.Base(file), word)
		case word == "FROM":
			f := strings.Fields(rest)
			st := stage{from: f[0]}
			if len(f) == 3 && f[1] == "AS" {
				st.name = f[2]
			}
			stages = append(stages, st)
		case len(stages) == 0:
			return nil, fmt.Errorf("%s: %s stands before FROM", filepath.Base(file), word)
		default:
			st := &stages[len(stages)-1]
			st.steps = append(st.steps, instruction{word, rest})
		}
	}
	if len(stages) == 0 {
		return nil, errors.New("no FROM in " + filepath.Base(file))
	}
	return stages, nil
}

// ignored returns the patterns of .dockerignore: the files that the build context omits.
func (c composed) ignored() (*patternmatcher.PatternMatcher, error) {
	f, err := os.Open(filepath.Join(c.dir, ".dockerignore"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	patterns, err := ignorefile.ReadAll(f)
	if err != nil {
		return nil, err
	}
	return patternmatcher.New(patterns)
}

// dockerfiles returns a line for each fault in both files: what does not parse, what is
// copied from a path that does not exist, and passwords that an image could contain.
func dockerfiles(c composed) (found []string) {
	ignore, err := c.ignored()
	if err != nil {
		return []string{err.Error()}
	}
	for _, file := range []string{"Dockerfile", "deploy/compose/shop.Dockerfile"} {
		stages, err := parseDockerfile(filepath.Join(c.dir, file))
		if err != nil {
			found = append(found, err.Error())
		}
		for n, st := range stages {
			for _, step := range st.steps {
				if step.word == "COPY" {
					found = append(found, c.copies(step.rest, stages[:n], ignore)...)
				}
			}
			if st.last("USER") == "" && n == len(stages)-1 {
				found = append(found, file+" ends as root")
			}
		}
	}
	if left, err := ignore.MatchesOrParentMatches("deploy/compose/secrets/mysql_root"); err != nil || !left {
		found = append(found, fmt.Sprintf("deploy/compose/secrets is in the build context: %v", err))
	}
	return found
}

// copies returns the faults of one COPY instruction, nil if there are none.
func (c composed) copies(rest string, before []stage, ignore *patternmatcher.PatternMatcher) (found []string) {
	args := strings.Fields(rest)
	for len(args) > 0 && strings.HasPrefix(args[0], "--") {
		if name, ok := strings.CutPrefix(args[0], "--from="); ok {
			if !slices.ContainsFunc(before, func(st stage) bool { return st.name == name }) {
				return []string{"no stage " + name + " to copy from"}
			}
			return nil
		}
		args = args[1:]
	}
	for _, source := range args[:len(args)-1] {
		if _, err := os.Stat(filepath.Join(c.dir, source)); err != nil {
			found = append(found, err.Error())
		} else if left, err := ignore.MatchesOrParentMatches(source); err != nil || left {
			found = append(found, fmt.Sprintf("%s is left out by .dockerignore: %v", source, err))
		}
	}
	return found
}

// built runs the Dockerfile's go build on the files of the build context, and returns what
// is wrong with it or with the version of its program.
func built(c composed) []string {
	context, err := c.context()
	if err != nil {
		return []string{err.Error()}
	}
	stages, err := parseDockerfile(filepath.Join(c.dir, "Dockerfile"))
	if err != nil {
		return []string{err.Error()}
	}
	for _, step := range stages[0].steps {
		if step.word != "RUN" || !strings.Contains(step.rest, "go build") {
			continue
		}
		out := filepath.Join(context, "out")
		cmd := exec.Command("sh", "-c", strings.ReplaceAll(step.rest, "/out/", out+"/"))
		cmd.Dir, cmd.Env = context, append(os.Environ(), "VERSION=9.8.7", "REVISION=cafe", "BRANCH=leaf")
		if said, err := cmd.CombinedOutput(); err != nil {
			return []string{fmt.Sprintf("%v: %s", err, said)}
		}
		said, err := composeRun(context, filepath.Join(out, "resp-exporter"), "--version")
		if want := "version 9.8.7 (branch: leaf, revision: cafe)"; err != nil || !strings.Contains(said, want) {
			return []string{fmt.Sprintf("--version says %q, not %q: %v", said, want, err)}
		}
		return nil
	}
	return []string{"no go build in the first stage"}
}

// context copies what .dockerignore leaves in the build context.
func (c composed) context() (string, error) {
	ignore, err := c.ignored()
	if err != nil {
		return "", err
	}
	to := filepath.Join(c.dir, "context")
	for _, top := range []string{"go.mod", "go.sum", "LICENSE", "cmd", "collectors", "docs", "internal"} {
		err := filepath.WalkDir(filepath.Join(c.dir, top), func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			name := strings.TrimPrefix(path, c.dir+"/")
			if left, err := ignore.MatchesOrParentMatches(name); err != nil || left || d.IsDir() {
				return err
			}
			if err := os.MkdirAll(filepath.Dir(filepath.Join(to, name)), 0o755); err != nil {
				return err
			}
			return os.Link(path, filepath.Join(to, name))
		})
		if err != nil {
			return "", err
		}
	}
	return to, nil
}

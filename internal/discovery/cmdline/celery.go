package cmdline

import (
	"cmp"
	"path"
	"regexp"
	"slices"
	"strings"
)

// maxCeleryQueues is how many queues of one worker of Celery are kept.
const maxCeleryQueues = 50

// Celery is what a command line says of a worker of Celery.
type Celery struct {
	Queues []string
	Child  bool // a process of a worker's pool, by its title
	Beat   bool // the scheduler that -B starts, by its title: it runs no task
}

// celeryTitle matches the title that Celery sets where it can: "[celeryd:
// celery@host:MainProcess] -active- (-A shop worker -Q mail)".
var celeryTitle = regexp.MustCompile(`^\[celeryd: \S*?:([A-Za-z]+)(?:-\d+)?\](?:[^(]*\((.*)\))?$`)

// ParseCelery returns the settings on the command line of a Celery worker; only Child and
// Beat for a process of its pool, nil for another command line.
func ParseCelery(argv []string) *Celery {
	if len(argv) == 0 {
		return nil
	}
	if title := strings.TrimSpace(argv[0]); strings.HasPrefix(title, "[celeryd: ") {
		if m := celeryTitle.FindStringSubmatch(title); m != nil {
			if m[1] != "MainProcess" {
				return &Celery{Child: true, Beat: m[1] == "Beat"}
			}
			return celeryArgs(strings.Fields(m[2]))
		}
	}
	if path.Base(argv[0]) == "celery" {
		return celeryArgs(argv[1:])
	}
	if !isPython(path.Base(argv[0])) {
		return nil
	}
	for i := 1; i < len(argv); i++ {
		switch a := argv[i]; {
		case a == "-m" && i+1 < len(argv) && argv[i+1] == "celery":
			return celeryArgs(argv[i+2:])
		case a == "-W" || a == "-X":
			i++
		case a == "-m" || a == "-c":
			return nil
		case strings.HasPrefix(a, "-"):
		case path.Base(a) == "celery":
			return celeryArgs(argv[i+1:])
		default:
			return nil
		}
	}
	return nil
}

// celeryArgs returns the queues of a worker by Celery's arguments; nil for a command
// other than "worker".
func celeryArgs(args []string) *Celery {
	for i := 0; i < len(args); i++ {
		a := args[i]
		switch {
		case a == "worker":
			return &Celery{Queues: celeryQueues(args[i+1:])}
		case slices.Contains([]string{"-A", "--app", "-b", "--broker", "--result-backend", "--loader", "--config", "--workdir"}, a):
			i++
		case strings.HasPrefix(a, "-"):
		default:
			return nil // beat, flower, inspect
		}
	}
	return nil
}

// celeryQueues returns the queues that a worker takes tasks from, at most 50: "celery" if the
// command line names none, without those that it excludes.
func celeryQueues(args []string) []string {
	var out []string
	not := strings.Split(Option(args, "-X", "--exclude-queues"), ",")
	for q := range strings.SplitSeq(cmp.Or(Option(args, "-Q", "--queues"), "celery"), ",") {
		q = strings.TrimSpace(q)
		if q != "" && !slices.Contains(not, q) && !slices.Contains(out, q) && len(out) < maxCeleryQueues {
			out = append(out, q)
		}
	}
	return out
}

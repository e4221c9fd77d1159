package action

import "slices"

// Code identifies the kind of a [Refusal]. Programs and tests compare codes; the sentences
// may change.
type Code string

// Unavailable reports whether a step is refused only because its means are missing: the
// next step of its rule may have them.
func (c Code) Unavailable() bool {
	return slices.Contains([]Code{CodeNoIntegration, CodeNoControl, CodeNotFollowed, CodeNoQueueTime, CodeThrottled, CodeNotScalable}, c)
}

// What a step needs of an app that uses resp_flask.py.
const (
	CodeNoIntegration Code = "no_integration" // no worker says that it uses it
	CodeNoControl     Code = "no_control"     // its control file cannot be written
	CodeNotFollowed   Code = "not_followed"   // it follows another file, or refuses it
	CodeNoQueueTime   Code = "no_queue_time"  // its requests do not say how long they waited
	CodeThrottled     Code = "throttled"      // it sheds requests already, and that was not enough
)

// CodeThrottleSpent means that an app has shed requests for max_time, and its component has
// not been healthy since.
const CodeThrottleSpent Code = "throttle_spent"

// What the alert and the rule name.
const (
	CodeLabelDiffers  Code = "label_differs" // a label of the alert differs from the rule
	CodeUnknownApp    Code = "unknown_app"
	CodeUnknownPool   Code = "unknown_pool"
	CodeUnknownServer Code = "unknown_server" // of the section mysql
	CodeUnknownRedis  Code = "unknown_redis"
	CodeUnknownQueue  Code = "unknown_queue"
	CodeUnknownTask   Code = "unknown_task" // inside of the app
	CodeSeveralQueues Code = "several_queues"
)

// The settings of the step.
const (
	CodeSettingMissing Code = "setting_missing"
	CodeSettingUnknown Code = "setting_unknown" // it has a value that is not known
	CodeTooHasty       Code = "too_hasty"       // a time below the least one
	CodeNotIdempotent  Code = "not_idempotent"
	CodeTimeoutShort   Code = "timeout_short" // of the step
)

// The users whose connections or statements are ended.
const (
	CodeUserOfServer Code = "user_of_server" // of the server's own threads
	CodeUserPattern  Code = "user_pattern"
	CodeUserOwn      Code = "user_own" // the exporter's
	CodeNoUsers      Code = "no_users"
)

// The owner of what would be touched.
const (
	CodeSharedUser     Code = "shared_user"     // two apps have one user of a database
	CodeSharedPrefix   Code = "shared_prefix"   // two apps have sessions under one prefix
	CodeSharedQueue    Code = "shared_queue"    // two apps have one queue
	CodeShareUnknown   Code = "share_unknown"   // it is not known if two names are one server
	CodeSeveralApps    Code = "several_apps"    // the users are those of several apps
	CodeUnheld         Code = "unheld"          // no holder of a connection is known
	CodeHoldersUnknown Code = "holders_unknown" // the connections of the app are not known
)

// CodeNotScalable means that the server of an app cannot be told its number of workers.
const CodeNotScalable Code = "not_scalable"

// CodeVictim means that the victim only waits because of a fault elsewhere.
const CodeVictim Code = "victim"

// The measure of what would be touched.
const (
	CodeTooManyRows   Code = "too_many_rows" // changed by a transaction
	CodeFractionZero  Code = "fraction_zero" // max_fraction is less than one
	CodeOverFraction  Code = "over_fraction" // more than max_fraction match
	CodeCommonCause   Code = "common_cause"  // so many hang that the cause is elsewhere
	CodeBackoff       Code = "backoff"       // the target was restarted a short time ago
	CodeTooYoung      Code = "too_young"     // the process, which was replaced before
	CodeHangUnproven  Code = "hang_unproven" // it is not known for how long a worker hangs
	CodeRedisRefuses  Code = "redis_refuses" // what the action needs of a Redis
	CodeAtMaximum     Code = "at_maximum"    // as many as may be are there
	CodeMemory        Code = "memory"        // too little would be left
	CodeMemoryUnknown Code = "memory_unknown"
	CodeRedisUnknown  Code = "redis_unlisted" // a Redis is no longer in the configuration
)

// The root of a chain of locks.
const (
	CodeRootUnknown   Code = "root_unknown"    // the server does not report it
	CodeRootWorking   Code = "root_working"    // it does not sleep in a transaction
	CodeOtherRoot     Code = "other_root"      // who waits for it also waits for one that may not be ended
	CodeTooFewBlocked Code = "too_few_blocked" // fewer than min_blocked wait for it
	CodeCircle        Code = "circle"          // they wait for each other
)

// The workers of an app.
const (
	CodeAppDown         Code = "app_down"
	CodeNoReplacement   Code = "no_replacement" // nothing would start a new worker or process
	CodeTooFewWorkers   Code = "too_few_workers"
	CodeReplacing       Code = "replacing" // workers are being replaced
	CodeStarting        Code = "starting"  // a worker is
	CodeSeveralMasters  Code = "several_masters"
	CodeNoneServes      Code = "none_serves"       // no other worker serves
	CodeStatesUnknown   Code = "states_unknown"    // of the workers
	CodeLeaksUnknown    Code = "leaks_unknown"     // of the workers
	CodeUnproven        Code = "unproven"          // no process is proved to be a worker
	CodeNoWorker        Code = "no_worker"         // of the queue on this host
	CodeOtherHost       Code = "other_host"        // the worker runs there
	CodeOtherQueues     Code = "other_queues"      // the worker serves them too
	CodeNotSignalable   Code = "not_signalable"    // a process that is never signalled
	CodeTraced          Code = "traced"            // by a debugger
	CodeOtherApp        Code = "other_app"         // the process belongs to it
	CodeOtherUser       Code = "other_user"        // than the app's
	CodeUserUnknown     Code = "user_unknown"      // with which the process's is compared
	CodeOtherProcess    Code = "other_process"     // than the planned one
	CodeNotWorker       Code = "not_worker"        // by its program or command line
	CodeNotReadable     Code = "not_readable"      // a process, for the exporter
	CodeOtherNamespace  Code = "other_namespace"   // of pids
	CodeOtherNetwork    Code = "other_network"     // whose addresses prove nothing
	CodeNotConnected    Code = "not_connected"     // to the address of the Redis of the queue
	CodeNotListed       Code = "not_listed"        // in the list of clients of that Redis
	CodeOtherDatabase   Code = "other_database"    // of the Redis
	CodeOtherClientName Code = "other_client_name" // than that of its entry in Redis
	CodeClientNameTaken Code = "client_name_taken" // by another process
)

// The files of a directory.
const (
	CodeDirectoryDenied Code = "directory_denied" // nothing of it may be removed
	CodeNoDirectory     Code = "no_directory"
	CodeFileSystem      Code = "file_system"       // of a type that is not used
	CodeOtherFileSystem Code = "other_file_system" // than that of the alert
	CodeTooManyFiles    Code = "too_many_files"
	CodeFilesOpen       Code = "files_open" // in other processes
	CodeNoFiles         Code = "no_files"   // that match
	CodeNotPermitted    Code = "not_permitted"
	CodeOverBytes       Code = "over_bytes" // more than max_bytes
)

// The program, URL or token of the settings, and the import of an app.
const (
	CodeNoProgram          Code = "no_program"
	CodeProgramPath        Code = "program_path" // it is not absolute
	CodeProgramNotFound    Code = "program_not_found"
	CodeProgramNoFile      Code = "program_no_file" // it is no regular file
	CodeProgramNotExec     Code = "program_not_executable"
	CodeProgramUntrusted   Code = "program_untrusted"   // others can change it
	CodeDirectoryUntrusted Code = "directory_untrusted" // others can replace what is in it
	CodeURL                Code = "url"
	CodeURLLogin           Code = "url_login" // the URL has one
	CodeToken              Code = "token"     // it cannot be read
	CodeImportFailed       Code = "import_failed"
	CodeImportTimeout      Code = "import_timeout"
	CodeImportUnchecked    Code = "import_unchecked"    // the check cannot run
	CodeImportUser         Code = "import_user"         // the exporter cannot run it as the app's user
	CodeImportOtherFiles   Code = "import_other_files"  // the app sees other files
	CodeImportConfined     Code = "import_confined"     // the app is, unlike the exporter
	CodeImportNoDirectory  Code = "import_no_directory" // that of the app is gone
	CodeImportDirectory    Code = "import_directory"    // it is relative, or below another root
	CodeImportInterpreter  Code = "import_interpreter"  // it has been moved
	CodeImportRoot         Code = "import_root"         // others can change what would run as root
)

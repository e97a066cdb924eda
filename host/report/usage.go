package report

import (
	"cmp"
	"slices"

	"github.com/mootchat/moot/engine/millis"
)

// Usage is what the modules of a node use. A binding is a module as the entries of one tenant use it: with one config,
// memory limit and set of grants.
type Usage struct {
	Bindings     int    `json:"bindings" doc:"Modules as tenants use them: a module in 100 tenants has 100 bindings."`
	Awake        int    `json:"awake" doc:"Bindings that have instances."`
	Asleep       int    `json:"asleep" doc:"Bindings without instances: the next event wakes them."`
	Instances    int    `json:"instances"`
	Spare        int    `json:"spare" doc:"Instances that belong to no binding: the next wakes use them."`
	Images       int    `json:"images" doc:"Modules whose instances start from an image."`
	OpenBreakers int    `json:"openBreakers" doc:"Chain entries whose breaker is open: they are not called now."`
	Memory       Memory `json:"memory"`

	WakesPerSecond float64 `json:"wakesPerSecond" doc:"On average since the time of a report 10 s ago or more."`

	Wakes Histogram `json:"wakes" doc:"Wakes of bindings since the start, and the time that each took."`
	Calls Histogram `json:"calls" doc:"Calls of all modules in use, and the time that each took."`

	ModulesCount int           `json:"modulesCount" doc:"Different compiled modules: each counts once, for all tenants that use it."`
	Modules      []ModuleUsage `json:"modules" doc:"The modules that take most memory, the largest first."`
	Failing      []Failing     `json:"failing" doc:"Some of the modules with open breakers, by tenant."`
	Asks         []AskUsage    `json:"asks,omitempty" doc:"Asks of rules: those whose services fail first, then those with most requests."`
	Tenants      []TenantUsage `json:"tenants" doc:"The tenants that cost most, in the order that was asked for."`
}

// Memory is the memory of modules on a node, in bytes.
type Memory struct {
	Limit     int64 `json:"limit" doc:"limits.moduleMemory, or its default."`
	Code      int64 `json:"code" doc:"Compiled modules."`
	Instances int64 `json:"instances"`
	Spare     int64 `json:"spare" doc:"Instances that belong to no tenant: the next wakes use them."`
	Images    int64 `json:"images" doc:"States of modules that new instances start from; besides the limit."`
	Diffs     int64 `json:"diffs" doc:"What moot_init of bindings has changed in their images; it is applied at their next wakes, and does not count for the limit."`
}

// ModuleUsage is what one compiled module uses, for all tenants.
type ModuleUsage struct {
	Name      string `json:"name" doc:"A name under modules; others may name the same file."`
	SHA256    string `json:"sha256" doc:"Of the WebAssembly binary; for a script, of the runner of its language."`
	Bindings  int    `json:"bindings"`
	Awake     int    `json:"awake"`
	Instances int    `json:"instances"`
	Code      int64  `json:"code" doc:"Bytes of the compiled module."`
	Image     int64  `json:"image" doc:"Bytes of the image from which its instances start; 0: none now."`
	NoImage   string `json:"noImage,omitempty" doc:"The reason why the module can have no image, after \"it \": its instances take longer to start."`
}

// Failing is a module of a tenant with open breakers.
type Failing struct {
	Tenant string `json:"tenant"`
	Module string `json:"module"`
}

// TenantUsage is what the modules of one tenant use.
type TenantUsage struct {
	Tenant  string          `json:"tenant"`
	CPU     float64         `json:"cpu" doc:"Processors in use, on average since the time of a report 10 s ago or more: 0.5 is half of one."`
	CPUTime millis.Duration `json:"cpuTime" format:"duration-ms" doc:"Processor time since the start, or since the tenant was added."`
	Memory  int64           `json:"memory" doc:"Bytes of its instances."`
	Awake   int             `json:"awake" doc:"Its bindings that have instances."`
}

// Orders of Usage.Tenants.
const (
	ByCPU    = "cpu"
	ByMemory = "memory"
)

// UsageQuery selects the parts of a Usage that have a limit.
type UsageQuery struct {
	By  string `json:"by,omitempty" query:"by" enum:"cpu,memory" default:"cpu" doc:"The order of tenants."`
	Top int    `json:"top,omitempty" query:"top" minimum:"0" maximum:"1000" default:"10" doc:"Maximum number of tenants, of modules, of failing modules and of asks."`
}

// SortTenants sorts tenants in the order by, the costliest first.
func SortTenants(all []TenantUsage, by string) {
	slices.SortFunc(all, func(a, b TenantUsage) int {
		cpu, memory := cmp.Or(cmp.Compare(b.CPU, a.CPU), cmp.Compare(b.CPUTime, a.CPUTime)), cmp.Compare(b.Memory, a.Memory)
		if by == ByMemory {
			cpu, memory = memory, cpu
		}
		return cmp.Or(cpu, memory, cmp.Compare(a.Tenant, b.Tenant))
	})
}

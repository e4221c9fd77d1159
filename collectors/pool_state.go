package collectors

import "github.com/resp-exporter/resp-exporter/internal/model"

// setCapacity sets the capacity of a pool, and by that its utilization.
func setCapacity(p *model.Pool, capacity float64) {
	p.Capacity, p.Utilization = model.Known(capacity), model.Known((p.InUse+p.InTransaction+p.Leaked)/capacity)
}

// publishPool adds the series and the state of a pool.
func publishPool(s *Sample, p model.Pool) { //nolint:gocritic // once for each pool
	for i, n := range []float64{p.InUse, p.Idle, p.InTransaction, p.Leaked} {
		s.add(poolConnectionsFamily, n, p.App, p.Name, poolStates[i])
	}
	s.add(poolInfoFamily, 1, p.App, p.Name, string(p.Source))
	if p.Capacity != nil {
		s.add(poolCapacityFamily, *p.Capacity, p.App, p.Name)
		s.add(poolUtilizationFamily, *p.Utilization, p.App, p.Name)
	}
	if p.Source == model.PoolInside {
		oldest := 0.0
		if p.OldestCheckout != nil {
			oldest = *p.OldestCheckout
		}
		s.add(poolWaitingFamily, *p.Waiting, p.App, p.Name)
		s.add(poolOldestFamily, oldest, p.App, p.Name)
	}
	s.State.Pools = append(s.State.Pools, p)
}

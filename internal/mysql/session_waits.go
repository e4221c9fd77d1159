package mysql

import (
	"context"
	"database/sql"

	"github.com/resp-exporter/resp-exporter/internal/reason"
)

// ConnectionWait is one connection that waits for a lock of another one. A waiter may
// have several blockers.
type ConnectionWait struct {
	Waiter  uint64 // CONNECTION_ID()
	Blocker uint64 // 0: the server does not say whose lock it is
}

// Waits returns which connections wait for which, for the locks of rows; a waiter whose
// connection is not known is left out, such a blocker is 0. More than 1,000 pairs, or
// 20,000 open transactions, are an error, for of a part of them nothing follows. It needs
// the rights of [Server.LockWaits].
func (v *Session) Waits(ctx context.Context) ([]ConnectionWait, error) {
	var waits []LockWait
	err := v.read(ctx, v.l.lockWaitsQuery(), func(rows *sql.Rows) error {
		w, _, err := scanLockWait(rows)
		if err != nil {
			return err
		}
		if len(waits) == maxLockWaits {
			return &Error{Reason: reason.Failed, Text: "it has more than 1,000 waits for locks"}
		}
		waits = append(waits, w)
		return nil
	})
	if err != nil || len(waits) == 0 {
		return nil, err
	}
	holders, err := v.transactionHolders(ctx)
	if err != nil {
		return nil, err
	}
	var out []ConnectionWait
	for _, w := range waits {
		if waiter := holders[w.Waiting]; waiter != 0 {
			out = append(out, ConnectionWait{waiter, holders[w.Blocking]})
		}
	}
	return out, nil
}

// transactionHolders returns the connection of each open transaction by the transaction's
// id; 0 for an id that two of them have: MariaDB reports 0 for each transaction that has
// changed nothing. More than 20,000 transactions are an error.
func (v *Session) transactionHolders(ctx context.Context) (map[string]uint64, error) {
	out := make(map[string]uint64)
	rowsRead := 0
	err := v.read(ctx, "SELECT trx_id, trx_mysql_thread_id FROM information_schema.innodb_trx", func(rows *sql.Rows) error {
		var id string
		var connection uint64
		if err := rows.Scan(&id, &connection); err != nil {
			return err
		}
		if rowsRead++; rowsRead > maxTransactions {
			return &Error{Reason: reason.Failed, Text: "it has more than 20,000 open transactions"}
		}
		id = clip(id)
		if _, twice := out[id]; twice {
			connection = 0
		}
		out[id] = connection
		return nil
	})
	return out, err
}

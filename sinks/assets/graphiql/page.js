"use strict";

const payments = `# The newest payments, accepted and refused.
query Payments {
  payments(first: 10) {
    nodes {
      id
      time
      operation
      status
      rejectReason
      amount { amount currency }
      debitAccountId
      creditAccountId
      riskDecision
      riskRule
    }
    pageInfo { hasNextPage endCursor }
  }
}
`;

const statement = `# Accounts with their balances and their latest payments.
# One account alone: account(id: "…") { … }
query Statement {
  accounts(first: 3) {
    nodes {
      id
      currency
      state
      balances {
        debitsPosted { amount }
        creditsPosted { amount }
        debitsPending { amount }
      }
      payments(first: 5) {
        nodes {
          time
          status
          amount { amount currency }
          debitAccountId
          creditAccountId
        }
      }
    }
  }
}
`;

const payment = `# One payment with what became of it. Put an id in the variables below.
query Payment($id: UUID!) {
  payment(id: $id) {
    seq
    time
    operation
    status
    rejectReason
    requestedAmount { amount currency }
    amount { amount currency }
    holdState
    remainingAmount { amount }
    capturedAmount { amount }
    refundedAmount { amount }
    debitBalances { debitsPosted { amount } creditsPosted { amount } }
    original { id operation amount { amount } }
    refunds { id time amount { amount } }
    riskExplanation { decision rule score reasons { text contribution } }
    context { channel countryCode merchantCategoryCode reference }
  }
}
`;

const history = `# Balances after each event, of accounts opened with the flag KEEPS_HISTORY (others: null),
# and holds that timed out.
query History {
  accounts(first: 3) {
    nodes {
      id
      balanceHistory(first: 5) {
        nodes {
          time
          change
          paymentId
          balances {
            debitsPosted { amount currency }
            creditsPosted { amount }
            debitsPending { amount }
          }
        }
      }
    }
  }
  timedOutHolds(first: 5) {
    nodes {
      time
      holdId
      debitAccountId
      creditAccountId
      releasedAmount { amount currency }
    }
  }
}
`;

const status = `# How far the read model is, and whether money is conserved.
query Status {
  status { appliedSeq appliedTime }
  conservation {
    debitsPosted { amount currency }
    creditsPosted { amount currency }
    debitsPending { amount }
    creditsPending { amount }
    holds
  }
}
`;

const found = `# Payments by what became of them, with reasons. Try riskDecision, reference, fromTime, amountMin.
query Refused {
  payments(filter: { status: REJECTED }, first: 10) {
    edges {
      cursor
      node {
        id
        time
        rejectReason
        requestedAmount { amount currency }
        riskExplanation { score policyNumber reasons { feature text contribution } }
      }
    }
    pageInfo { hasNextPage endCursor }
  }
  openHolds(first: 5) { nodes { id holdState remainingAmount { amount currency } } }
}
`;

const totals = `# How much moved, by hour and by currency.
query Totals {
  totals(by: HOUR) {
    start
    currency
    settled { count amount { amount } }
    held { count amount { amount } }
    voided { count amount { amount } }
    rejected { count }
  }
}
`;

const follow = `# Payments as they are decided. Press the button, and make some.
subscription Follow {
  payments {
    seq
    time
    status
    amount { amount currency }
    debitAccountId
    creditAccountId
  }
}
`;

const noId = JSON.stringify({ id: "00000000-0000-0000-0000-000000000000" }, null, 2);

// Subscriptions by graphql-transport-ws, one connection each.
function followed(params) {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const url = `${scheme}//${location.host}/graphql`;
  return {
    async *[Symbol.asyncIterator]() {
      const socket = new WebSocket(url, "graphql-transport-ws");
      const waiting = [];
      let wake = () => {};
      const put = (entry) => {
        waiting.push(entry);
        wake();
      };
      socket.onopen = () => socket.send(JSON.stringify({ type: "connection_init" }));
      socket.onclose = (event) => put({ closed: `${event.code} ${event.reason}` });
      socket.onmessage = (event) => {
        const message = JSON.parse(event.data);
        if (message.type === "connection_ack") {
          socket.send(JSON.stringify({ id: "1", type: "subscribe", payload: params }));
        } else if (message.type === "ping") {
          socket.send(JSON.stringify({ type: "pong" }));
        } else if (message.type === "next") {
          put({ value: message.payload });
        } else if (message.type === "error") {
          put({ value: { errors: message.payload } });
        } else if (message.type === "complete") {
          put({ closed: "" });
        }
      };
      try {
        for (;;) {
          while (waiting.length === 0) {
            await new Promise((resolve) => (wake = resolve));
          }
          const { value, closed } = waiting.shift();
          if (closed !== undefined) {
            return;
          }
          yield value;
        }
      } finally {
        socket.close(1000);
      }
    },
  };
}

const ask = GraphiQL.createFetcher({ url: "/graphql" });

// The operation that is run is the named one, or the only one.
function isSubscription(params) {
  const operations = params.query.match(/^\s*(query|mutation|subscription)\b[^{]*/gm) || [];
  const name = params.operationName;
  const named = operations.filter((head) => !name || head.includes(name));
  return named.some((head) => head.trim().startsWith("subscription"));
}

function fetcher(params, options) {
  return isSubscription(params) ? followed(params) : ask(params, options);
}

ReactDOM.createRoot(document.getElementById("graphiql")).render(
  React.createElement(GraphiQL, {
    fetcher,
    defaultEditorToolsVisibility: true,
    defaultTabs: [
      { query: payments },
      { query: statement },
      { query: payment, variables: noId },
      { query: found },
      { query: totals },
      { query: history },
      { query: status },
      { query: follow },
    ],
  }),
);

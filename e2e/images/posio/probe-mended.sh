#!/bin/bash
# The documented probe, for a gateway that keeps the cluster of a server out of service: it knows zero when it sees it, and takes
# neither a Prometheus that doesn't answer nor a gateway that isn't scraped for a server without players.
[[ "$(cat /etc/gsinfo/state 2>/dev/null)" == "PreDelete" ]] || exit 1
series="envoy_cluster_upstream_cx_active{cluster_name=\"outbound_5000__${HOSTNAME}.default.svc.cluster.local\"}"
# No series and a scraped gateway is 0, no series and no scraped gateway is -1, and no answer is nothing.
query="sum(max_over_time(${series}[5s])) or (min(up{job=\"envoy\"}) - 1)"
json=$(curl -s -f -m 2 -G --data-urlencode "query=$query" http://prometheus.com/api/v1/query) || exit 1
value=$(echo "$json" | grep -o '"value":\[[^]]*\]' | sed 's/.*"\([^"]*\)"\]/\1/')
[[ "$value" == "0" ]] || exit 1
echo "done"

#!/bin/bash
file_path="/etc/gsinfo/state"
if [[ ! -f "$file_path" ]]; then
exit 1
fi
state_content=$(cat "$file_path")
if [[ "$state_content" == "PreDelete" ]]; then
query="sum(envoy_cluster_upstream_cx_active{cluster_name=~\"outbound_5000__${HOSTNAME}.default.svc.cluster.local\"})"
json=$(curl -s -G --data-urlencode "query=$query" http://prometheus.com/api/v1/query)
value=$(echo "$json" | grep -o '"value":\[[^]]*\]' | sed 's/.*"\([^"]*\)"/\1/')
if [[ -z "$value" || "$value" == "0" ]]; then
echo "done"
exit 0
fi
exit 1
fi
exit 1

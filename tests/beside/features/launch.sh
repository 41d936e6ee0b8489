#!/bin/bash
trap 'touch .ended' EXIT
if [ __BLACKDYNAMITE__feature__ = in_the_shell ]; then
    canYouDigIt runs update --truerun "kind = shell" > /dev/null 2>&1
    canYouDigIt runs quantity --quantity_id heat --value 2.5 --step 1 --truerun > /dev/null 2>&1
fi
python3 ./doIt.py
